"""What admins do to roles. Pages, API and admin all call these."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.redaction import redact_text
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from runs.llm.registry import validate_choice
from runs.models import Run
from teams import groups
from teams.models import Role
from teams.models.role import MOST_ENTRIES

FIELDS: Final = (
    "name",
    "description",
    "system_prompt",
    "allowed_tools",
    "denied_tools",
    "style_constraints",
    "model",
    "is_lead",
)
LONGEST_PROMPT: Final = 50_000
LONGEST_STYLE: Final = 4_000  # characters, as JSON
MOST_AT_ONCE: Final = 100
MOST: Final = 1_000  # roles of one organisation
_ENTRY: Final = re.compile(r"(?:skill:)?[A-Za-z0-9_.-]{1,100}\*?|\*")


def all_roles() -> QuerySet[Role]:
    """Return the organisation's roles, newest first."""
    return Role.objects.order_by("-created_at", "-pk")


def search(*, words: str = "", lead: bool | None = None) -> QuerySet[Role]:
    """Return roles, newest first, that have `words` in name or description, and lead or don't."""
    rows = all_roles()
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(description__icontains=words))
    return rows if lead is None else rows.filter(is_lead=lead)


def find(role_id: str) -> Role:
    """Return a role, or raise NOT_FOUND."""
    role = Role.objects.filter(pk=role_id).first()
    if role is None:
        raise NotFound("Role")
    return role


@transaction.atomic
def create(scope: Scope, **told: Any) -> Role:
    """Make a role. Raises VALIDATION_ERROR, or CONFLICT for a name that is taken."""
    if Role.objects.count() >= MOST:
        raise OpenInternError("CONFLICT", f"An organisation has at most {MOST} roles")
    role = Role(**check(told))
    _save(role, force_insert=True)
    role.refresh_from_db()
    audit.record_for(scope, "role.create", object_id=role.pk, name=role.name)
    return role


@transaction.atomic
def change(scope: Scope, role_id: str, *, version: int | None = None, **told: Any) -> Role:
    """Change what is given of a role; nothing given changes nothing.

    Raises NOT_FOUND, VALIDATION_ERROR, or CONFLICT if the role isn't at `version` any more or a name is taken.
    """
    role = Role.objects.select_for_update().filter(pk=role_id).first()
    if role is None:
        raise NotFound("Role")
    if version is not None and version != role.version:
        raise OpenInternError(
            "CONFLICT", "Somebody has changed this role meanwhile; read it anew", details={"version": role.version}
        )
    changed = {name: value for name, value in check(told).items() if getattr(role, name) != value}
    if not changed:
        return role
    for name, value in changed.items():
        setattr(role, name, value)
    role.version += 1
    _save(role, update_fields=[*changed, "version"])
    Role.objects.filter(pk=role.pk).update(updated_at=Now())
    role.refresh_from_db()
    audit.record_for(scope, "role.change", object_id=role.pk, fields=sorted(changed), version=role.version)
    return role


@transaction.atomic
def delete(scope: Scope, role_id: str) -> None:
    """Remove a role, and take it out of its groups. Runs that began with it keep what they were given."""
    role = find(role_id)
    for group in groups.locked_of_role(role_id):
        groups.touch(group)
    role.delete()
    audit.record_for(scope, "role.delete", object_id=role_id)


def delete_many(scope: Scope, ids: Sequence[str]) -> int:
    """Remove those that are there; return how many that were."""
    if not ids or len(ids) > MOST_AT_ONCE:
        raise Invalid("ids", f"Must name 1 to {MOST_AT_ONCE} roles")
    there = list(Role.objects.filter(pk__in=ids).values_list("pk", flat=True))
    with transaction.atomic():
        for role_id in there:
            delete(scope, role_id)
    return len(there)


def stats(scope: Scope, role_id: str) -> dict[str, Any]:
    """Return what came of the runs of a role, and which groups in sight it is in."""
    runs = Run.objects.filter(agent_id=find(role_id).pk)
    done, failed = Q(status=Run.Status.COMPLETED), Q(status=Run.Status.FAILED)
    told: dict[str, Any] = runs.aggregate(
        run_count=Count("pk"), completed_count=Count("pk", filter=done), failed_count=Count("pk", filter=failed)
    )
    its_groups = [{"id": group.pk, "name": group.name} for group in groups.of_role(scope, role_id)]
    return {**told, "group_count": len(its_groups), "groups": its_groups}


def _save(role: Role, **how: Any) -> None:
    try:
        with transaction.atomic():
            role.save(**how)
    except IntegrityError as error:
        if "teams_role_name" not in str(error):
            raise
        raise OpenInternError("CONFLICT", f"There is a role {role.name} already") from error


def check(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be stored. Raises VALIDATION_ERROR for the first thing that may not."""
    kept = {name: value for name, value in told.items() if name in FIELDS}
    for name in ("name", "description", "system_prompt"):
        if name in kept:
            kept[name] = _text(name, kept[name])
    for name in ("allowed_tools", "denied_tools"):
        if name in kept:
            kept[name] = check_entries(name, kept[name])
    _check_style(kept.get("style_constraints", {}))
    if kept.get("model"):
        _check_model(kept["model"])
    return kept


def _text(name: str, value: str) -> str:
    if not is_storable(value):
        raise Invalid(name, "Must not hold NUL characters or lone surrogates")
    if name != "description" and not value.strip():
        raise Invalid(name, "Must not be empty")
    if name == "system_prompt":
        if len(value) > LONGEST_PROMPT:
            raise Invalid(name, f"Must be at most {LONGEST_PROMPT} characters")
        return redact_text(value)
    return " ".join(value.split())


def check_entries(name: str, entries: Sequence[str]) -> list[str]:
    """Return a list of tools without repetitions. Raises VALIDATION_ERROR for what can't be an entry of one."""
    if len(entries) > MOST_ENTRIES:
        raise Invalid(name, f"Must hold at most {MOST_ENTRIES} entries")
    for place, entry in enumerate(entries):
        if not isinstance(entry, str) or not _ENTRY.fullmatch(entry):
            raise Invalid(f"{name}.{place}", "Must be a tool's name, skill:<id>, or the beginning of one with a *")
    return list(dict.fromkeys(entries))


def _check_style(style: dict[str, Any]) -> None:
    try:
        length = len(json.dumps(style, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Invalid("style_constraints", "Must be JSON") from error
    if length > LONGEST_STYLE:
        raise Invalid("style_constraints", f"Must be at most {LONGEST_STYLE} characters of JSON")


def _check_model(model: str) -> None:
    provider, _slash, name = model.partition("/")
    try:
        validate_choice({"provider": provider, "model": name} if name else {"provider": provider})
    except OpenInternError as error:
        raise Invalid("model", error.message) from error
