"""What groups are: who sees them, who is in them, who leads them; and what admins do to them.

Pages, API, admin and commands all call these. Who is in a group is changed in `teams.members`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from teams.board import entries
from teams.models import AgentInstance, Group, Member
from teams.models.group import MOST_ROUNDS

TEXTS: Final = {"name": 100, "description": 2000}
SETTINGS: Final = ("mode", "quorum", "max_rounds", "on_member_failure")
FIELDS: Final = (*TEXTS, *SETTINGS)
MOST: Final = 500  # groups of one organisation
MOST_MEMBERS: Final = 20  # of one group
MOST_AT_ONCE: Final = 100


def visible(scope: Scope) -> QuerySet[Group]:
    """Return the groups in sight, newest first."""
    groups: QuerySet[Group] = Group.objects.for_scope(scope)
    return groups.select_related("project", "lead").order_by("-created_at", "-pk")


def find(scope: Scope, group_id: str) -> Group:
    """Return a group, or raise NOT_FOUND for one that isn't there or isn't in sight."""
    group = visible(scope).filter(pk=group_id).first()
    if group is None:
        raise NotFound("Group")
    return group


def members_of(group: Group) -> list[Member]:
    """Return who is in it, in their order, with their roles."""
    return list(group.members.select_related("role", "agent"))


def lead_of(group: Group, members: Sequence[Member]) -> Member | None:
    """Return who leads: the one who was chosen, else the first whose role is a lead, else nobody."""
    chosen = next((one for one in members if one.pk == group.lead_id), None)
    return chosen or next((one for one in members if one.role.is_lead), None)


def search(scope: Scope, *, words: str = "", project: Project | None = None, lead: bool | None = None) -> list[Group]:
    """Return the groups in sight, newest first, with `member_count`: of a project, that have a lead or haven't."""
    rows = visible(scope).annotate(member_count=Count("members", distinct=True))
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(description__icontains=words))
    if project is not None:
        rows = rows.filter(project=project)
    if lead is not None:
        leads = Q(lead__isnull=False) | Q(pk__in=Member.objects.filter(role__is_lead=True).values("group"))
        rows = rows.filter(leads if lead else ~leads)
    return list(rows)


def of_role(scope: Scope, role_id: str) -> list[Group]:
    """Return the groups in sight that a role is in, by name."""
    return list(visible(scope).filter(members__role=role_id).order_by("name"))


def locked(scope: Scope, group_id: str, *, version: int | None = None) -> Group:
    """Return a group that nobody else changes until the transaction ends.

    Raises NOT_FOUND, or CONFLICT if it isn't at `version` any more.
    """
    rows: QuerySet[Group] = Group.objects.for_scope(scope)
    group = rows.select_for_update().filter(pk=group_id).first()
    if group is None:
        raise NotFound("Group")
    if version is not None and version != group.version:
        raise OpenInternError(
            "CONFLICT", "Somebody has changed this group meanwhile; read it anew", details={"version": group.version}
        )
    return group


def touch(group: Group) -> None:
    """Raise the version of a group that is locked: it, or who is in it, has been changed."""
    group.version += 1
    Group.objects.filter(pk=group.pk).update(version=group.version, updated_at=Now())


def locked_of_role(role_id: str) -> list[Group]:
    """Return the groups that a role is in, which nobody else changes until the transaction ends."""
    return list(Group.objects.filter(members__role=role_id).select_for_update(of=("self",)).order_by("pk"))


@transaction.atomic
def create(scope: Scope, *, project: Project | None = None, **told: Any) -> Group:
    """Make a group without members. Raises VALIDATION_ERROR, or CONFLICT for a name that is taken."""
    if Group.objects.count() >= MOST:
        raise OpenInternError("CONFLICT", f"An organisation has at most {MOST} groups")
    group = Group(project=_of_the_organization(scope, project), **check(told))
    if not group.name:
        raise Invalid("name", "Must not be empty")
    _save(group, force_insert=True)
    audit.record_for(scope, "group.create", object_id=group.pk, name=group.name)
    return find(_anywhere(scope), group.pk)


@transaction.atomic
def change(scope: Scope, group_id: str, *, version: int | None = None, **told: Any) -> Group:
    """Change what is given of a group: its fields, `project`, and `lead_id` (a member's, or None).

    Nothing given changes nothing. A group that moves to another project has that project's agent instances.
    Raises NOT_FOUND, VALIDATION_ERROR, or CONFLICT if the group isn't at `version` any more or a name is taken.
    """
    group = locked(_anywhere(scope) if "project" in told else scope, group_id, version=version)
    wanted = check(told)
    if "project" in told:
        wanted["project"] = _of_the_organization(scope, told["project"])
    if "lead_id" in told:
        wanted["lead_id"] = _a_member(group, told["lead_id"])
    changed = {name: value for name, value in wanted.items() if getattr(group, name) != value}
    if changed:
        _keep(scope, group, changed)
    return find(_anywhere(scope), group_id)


def _keep(scope: Scope, group: Group, changed: dict[str, Any]) -> None:
    for name, value in changed.items():
        setattr(group, name, value)
    _save(group, update_fields=list(changed))
    if "project" in changed:
        for member in group.members.all():
            member.agent = agent_of(member.role_id, group.project)
            member.save(update_fields=["agent"])
    touch(group)
    fields = sorted(name.removesuffix("_id") for name in changed)
    audit.record_for(scope, "group.change", object_id=group.pk, fields=fields, version=group.version)


@transaction.atomic
def delete(scope: Scope, group_id: str) -> None:
    """Remove a group. Runs that began with it keep what they were given."""
    group = locked(scope, group_id)
    entries.clear(group_id)
    group.delete()
    audit.record_for(scope, "group.delete", object_id=group_id)


def delete_many(scope: Scope, ids: Sequence[str]) -> int:
    """Remove those that are there; return how many that were."""
    if not ids or len(ids) > MOST_AT_ONCE:
        raise Invalid("ids", f"Must name 1 to {MOST_AT_ONCE} groups")
    there = list(visible(scope).filter(pk__in=ids).order_by("pk").values_list("pk", flat=True))
    with transaction.atomic():
        for group_id in there:
            delete(scope, group_id)
    return len(there)


def agent_of(role_id: str, project: Project | None) -> AgentInstance:
    """Return a role at work in a project: the one that there is, else a new one."""
    return AgentInstance.objects.get_or_create(role_id=role_id, project=project)[0]


def check(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be stored of the fields. Raises VALIDATION_ERROR for the first thing that may not."""
    kept = {name: value for name, value in told.items() if name in FIELDS}
    for name in TEXTS.keys() & kept.keys():
        kept[name] = _text(name, kept[name])
    for name, choices in (("mode", Group.Mode.values), ("on_member_failure", Group.OnFailure.values)):
        if name in kept and kept[name] not in choices:
            raise Invalid(name, f"Must be one of {', '.join(choices)}")
    if "max_rounds" in kept:
        _require_number("max_rounds", kept["max_rounds"], most=MOST_ROUNDS)
    if kept.get("quorum") is not None:
        _require_number("quorum", kept["quorum"], most=MOST_MEMBERS)
    return kept


def _text(name: str, value: str) -> str:
    if not is_storable(value):
        raise Invalid(name, "Must not hold NUL characters or lone surrogates")
    kept = " ".join(value.split())
    if name == "name" and not kept:
        raise Invalid(name, "Must not be empty")
    if len(kept) > TEXTS[name]:
        raise Invalid(name, f"Must be at most {TEXTS[name]} characters")
    return kept


def _require_number(name: str, value: Any, *, most: int) -> None:
    if not isinstance(value, int) or not 1 <= value <= most:
        raise Invalid(name, f"Must be a whole number from 1 to {most}")


def _of_the_organization(scope: Scope, project: Project | None) -> Project | None:
    if project is not None and project.organization_id != scope.org.pk:
        raise NotFound("Project")
    return project


def _a_member(group: Group, member_id: str | None) -> str | None:
    if member_id is not None and not group.members.filter(pk=member_id).exists():
        raise Invalid("lead_id", "Must be a member of the group")
    return member_id


def _anywhere(scope: Scope) -> Scope:
    """The same person, not narrowed to a project: naming where a group shall go says nothing of where it is."""
    return replace(scope, project=None)


def _save(group: Group, **how: Any) -> None:
    try:
        with transaction.atomic():
            group.save(**how)
    except IntegrityError as error:
        if "teams_group_name" not in str(error):
            raise
        raise OpenInternError("CONFLICT", f"There is a group {group.name} already") from error
