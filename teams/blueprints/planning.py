"""What an import would do: one step for each role and group of a document, found before anything is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from openintern.errors import Invalid, OpenInternError
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from teams import groups, roles
from teams.blueprints.document import Blueprint, GroupPart
from teams.models import Group, Role, Skill

Existing = Literal["skip", "replace", "copy"]
CHOICES: Final[tuple[Existing, ...]] = ("skip", "replace", "copy")
_LONGEST_NAME: Final = 100


@dataclass(frozen=True, kw_only=True)
class Step:
    """What becomes of one part. `name` is what it is called in the document, `becomes` what it will be called here."""

    kind: Literal["role", "group"]
    name: str
    becomes: str
    action: Literal["create", "copy", "replace", "unchanged", "skip"]
    fields: tuple[str, ...] = ()  # what a replacement changes
    note: str = ""
    told: dict[str, Any]
    object_id: str = ""


def plan(scope: Scope, blueprint: Blueprint, *, existing: Existing) -> list[Step]:
    """Return the steps, roles first. `existing`: what becomes of names that are taken.

    Raises VALIDATION_ERROR for a part that can't be: its place in the document is the field.
    """
    steps = _role_steps(blueprint, existing)
    called = {step.name: step.becomes for step in steps}
    return [*steps, *_group_steps(scope, blueprint, existing, called)]


def _role_steps(blueprint: Blueprint, existing: Existing) -> list[Step]:
    taken = {role.name: role for role in Role.objects.all()}
    known = {f"skill:{skill_id}" for skill_id in Skill.objects.values_list("pk", flat=True)}
    steps: list[Step] = []
    for place, part in enumerate(blueprint.roles):
        told = _checked(f"roles.{place}", roles.check, part.model_dump())
        strange = [
            entry
            for entry in (*told["allowed_tools"], *told["denied_tools"])
            if entry.startswith("skill:") and not entry.endswith("*") and entry not in known
        ]
        note = f"Names skills that aren't here: {', '.join(strange)}" if strange else ""
        there = taken.get(told["name"])
        names = {*taken, *(step.becomes for step in steps)}
        fields = tuple(name for name, value in told.items() if there and getattr(there, name) != value)
        steps.append(_step("role", told, there, fields, existing=existing, names=names, note=note))
    return steps


def _group_steps(scope: Scope, blueprint: Blueprint, existing: Existing, called: dict[str, str]) -> list[Step]:
    taken = {group.name: group for group in Group.objects.select_related("project").prefetch_related("members__role")}
    here = set(Role.objects.values_list("name", flat=True)) | set(called.values())
    projects = {project.slug: project for project in scope.org.projects.all()}
    steps: list[Step] = []
    for place, part in enumerate(blueprint.groups):
        told = _checked(f"groups.{place}", groups.check, part.model_dump(include=set(groups.FIELDS)))
        there = taken.get(told["name"])
        told["project"] = _project(scope, part, there, projects, field=f"groups.{place}.project")
        named = [called.get(name, name) for name in map(_line, part.members)]
        told["members"] = [_here(name, here, f"groups.{place}.members.{at}") for at, name in enumerate(named)]
        told["lead"] = called.get(_line(part.lead), _line(part.lead)) if part.lead else None
        names = {*taken, *(step.becomes for step in steps)}
        steps.append(_step("group", told, there, _differences(there, told), existing=existing, names=names))
    return steps


def _step(
    kind: Literal["role", "group"],
    told: dict[str, Any],
    there: Role | Group | None,
    fields: tuple[str, ...],
    *,
    existing: Existing,
    names: set[str],
    note: str = "",
) -> Step:
    name = told["name"]
    if there is None or existing == "copy":
        becomes = _free(name, names) if there else name
        return Step(
            kind=kind,
            name=name,
            becomes=becomes,
            action="copy" if there else "create",
            note=note,
            told={**told, "name": becomes},
        )
    action: Literal["skip", "replace", "unchanged"] = (
        "skip" if existing == "skip" else "replace" if fields else "unchanged"
    )
    changed = fields if action == "replace" else ()
    return Step(
        kind=kind, name=name, becomes=name, action=action, fields=changed, note=note, told=told, object_id=there.pk
    )


def _checked(field: str, check: Any, told: dict[str, Any]) -> dict[str, Any]:
    """What the domain makes of a part; its refusal says where in the document."""
    if len(str(told["name"]).strip()) > _LONGEST_NAME:
        raise Invalid(f"{field}.name", f"Must be at most {_LONGEST_NAME} characters")
    if len(told["description"]) > groups.TEXTS["description"]:
        raise Invalid(f"{field}.description", f"Must be at most {groups.TEXTS['description']} characters")
    try:
        kept: dict[str, Any] = check(told)
    except OpenInternError as error:
        inner = (error.details or {}).get("field", "")
        raise Invalid(f"{field}.{inner}".rstrip("."), error.message) from error
    return kept


def _project(
    scope: Scope, part: GroupPart, there: Group | None, projects: dict[str, Project], *, field: str
) -> Project | None:
    """The project that is named; where nothing is said, the one that the group has or that one speaks for."""
    if "project" not in part.model_fields_set:
        return there.project if there else scope.project
    if part.project is not None and part.project not in projects:
        raise Invalid(field, "There is no such project")
    return projects[part.project] if part.project is not None else None


def _line(name: str) -> str:
    """A name as roles keep it."""
    return " ".join(name.split())


def _here(name: str, here: set[str], field: str) -> str:
    if name not in here:
        raise Invalid(field, "There is no role of that name")
    return name


def _differences(there: Group | None, told: dict[str, Any]) -> tuple[str, ...]:
    if there is None:
        return ()
    members = list(there.members.all())
    lead = next((member.role.name for member in members if member.pk == there.lead_id), None)
    has = {"members": [member.role.name for member in members], "lead": lead}
    return tuple(name for name, value in told.items() if has.get(name, getattr(there, name, None)) != value)


def _free(name: str, taken: set[str]) -> str:
    """The name, or the first "name (2)" that nothing has."""
    number, free = 2, name
    while free in taken:
        ending = f" ({number})"
        number, free = number + 1, name[: _LONGEST_NAME - len(ending)] + ending
    return free
