"""Who is in a group, and in which order. Pages, API and admin all call these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import Max

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from teams import groups, roles
from teams.models import Group, Member

LAST_PLACE: Final = 10_000


@transaction.atomic
def add(scope: Scope, group_id: str, *, role_id: str, ordinal: int | None = None, version: int | None = None) -> Member:
    """Take a role into a group, at the end unless a place is told, as its agent of the group's project.

    Raises NOT_FOUND for the group or the role, VALIDATION_ERROR, or CONFLICT for a role that is in it already, a
    group that is full, or one that isn't at `version` any more.
    """
    group = groups.locked(scope, group_id, version=version)
    role = roles.find(role_id)
    if group.members.filter(role=role).exists():
        raise OpenInternError("CONFLICT", f"The role {role.name} is in the group already")
    if group.members.count() >= groups.MOST_MEMBERS:
        raise OpenInternError("CONFLICT", f"A group has at most {groups.MOST_MEMBERS} members")
    place = _next_place(group) if ordinal is None else _place(ordinal)
    agent = groups.agent_of(role.pk, group.project)
    member = Member.objects.create(group=group, role=role, agent=agent, ordinal=place)
    _changed(scope, group, "group.add_member", member=member.pk, role=role.name)
    member.refresh_from_db()
    return member


@transaction.atomic
def place(scope: Scope, group_id: str, member_id: str, *, ordinal: int, version: int | None = None) -> Member:
    """Give one member another place. Raises NOT_FOUND, VALIDATION_ERROR, CONFLICT as `add`."""
    group = groups.locked(scope, group_id, version=version)
    member = find(group, member_id)
    if member.ordinal != _place(ordinal):
        member.ordinal = ordinal
        member.save(update_fields=["ordinal"])
        _changed(scope, group, "group.place_member", member=member.pk, role=member.role.name, ordinal=ordinal)
    return member


@transaction.atomic
def reorder(scope: Scope, group_id: str, ids: Sequence[str], *, version: int | None = None) -> list[Member]:
    """Put all members into the order of `ids`, which names each of them once.

    Raises NOT_FOUND, VALIDATION_ERROR for an order that is of others, CONFLICT for an outdated version.
    """
    group = groups.locked(scope, group_id, version=version)
    there = {member.pk: member for member in groups.members_of(group)}
    if sorted(ids) != sorted(there):
        raise Invalid("members", "Must name every member of the group once")
    members = [there[member_id] for member_id in ids]
    if list(there) != list(ids) or [member.ordinal for member in members] != list(range(len(members))):
        for ordinal, member in enumerate(members):
            member.ordinal = ordinal
        Member.objects.bulk_update(members, ["ordinal"])
        _changed(scope, group, "group.reorder", order=[member.role.name for member in members])
    return members


def move(scope: Scope, group_id: str, member_id: str, *, by: int) -> list[Member]:
    """Move one member up (-1) or down (1) by so many places, as far as there are any."""
    with transaction.atomic():
        group = groups.locked(scope, group_id)
        ids = [member.pk for member in groups.members_of(group)]
        where = ids.index(find(group, member_id).pk)
        ids.insert(min(max(where + by, 0), len(ids) - 1), ids.pop(where))
        return reorder(scope, group_id, ids)


@transaction.atomic
def remove(scope: Scope, group_id: str, member_id: str, *, version: int | None = None) -> None:
    """Take a role out of a group. Its agent and what that remembers stay: who comes back is the same."""
    group = groups.locked(scope, group_id, version=version)
    member = find(group, member_id)
    member.delete()
    _changed(scope, group, "group.remove_member", member=member_id, role=member.role.name)


def find(group: Group, member_id: str) -> Member:
    """Return a member of a group, or raise NOT_FOUND."""
    member = group.members.select_related("role", "agent").filter(pk=member_id).first()
    if member is None:
        raise NotFound("Member")
    return member


def _next_place(group: Group) -> int:
    last = group.members.aggregate(last=Max("ordinal"))["last"]
    return 0 if last is None else min(last + 1, LAST_PLACE)


def _place(ordinal: int) -> int:
    if not 0 <= ordinal <= LAST_PLACE:
        raise Invalid("ordinal", f"Must be a whole number from 0 to {LAST_PLACE}")
    return ordinal


def _changed(scope: Scope, group: Group, action: str, **details: Any) -> None:
    groups.touch(group)
    audit.record_for(scope, action, object_id=group.pk, **details, version=group.version)
