"""What admins do to skills. Pages, API, admin and commands all call these."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.redaction import redact
from openintern.tenancy import audit
from openintern.tenancy.roles import Role as Rank
from openintern.tenancy.scope import Scope
from openintern.text import storable
from runs.tools.registry import tools
from teams.models import Role, Skill, SkillVersion

#: What a version of a skill says, and what is settled about the skill itself.
CONTENT: Final = (
    "label",
    "description",
    "text",
    "files",
    "tools",
    "risk_level",
    "provider",
    "source_type",
    "entry_path",
    "allow_implicit_invocation",
    "dependencies",
)
MOST: Final = 200  # of one organisation
MOST_TOOLS: Final = 50
LONGEST_TEXT: Final = 200_000
LONGEST_DESCRIPTION: Final = 2_000
_TOOL_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
#: Variables that would change what other programs do; a skill has no business with them.
_REFUSED_VARIABLES: Final = re.compile(r"LD_.*|DYLD_.*|PYTHON.*|NODE_.*|PATH|HOME|SHELL|IFS|BASH_.*|ENV")


def all_skills() -> list[Skill]:
    """Return the organisation's skills with what they say, by name."""
    rows: Any = Skill.objects
    return list(rows.with_content().prefetch_related("roles").order_by("name"))


def find(skill_id: str) -> Skill:
    """Return a skill with what it says, or raise NOT_FOUND."""
    rows: Any = Skill.objects
    skill: Skill | None = rows.with_content().prefetch_related("roles").filter(pk=skill_id).first()
    if skill is None:
        raise NotFound("Skill")
    return skill


@transaction.atomic
def create(scope: Scope, *, name: str, is_enabled: bool = True, **told: Any) -> Skill:
    """Make a skill. Raises VALIDATION_ERROR, or CONFLICT for a name that is taken."""
    if Skill.objects.count() >= MOST:
        raise OpenInternError("CONFLICT", f"An organisation has at most {MOST} skills")
    skill = Skill(name=_name(name))
    _save(skill, force_insert=True)
    audit.record_for(scope, "skill.create", object_id=skill.pk, name=skill.name)
    return _write(skill, scope, told, is_enabled=is_enabled)


@transaction.atomic
def change(scope: Scope, skill_id: str, *, is_enabled: bool | None = None, **told: Any) -> Skill:
    """Change what is given of a skill. Other content is a new version, in force where the one before it was.

    Raises NOT_FOUND, VALIDATION_ERROR, CONFLICT for a name that is taken, FORBIDDEN for whoever lowers a risk and is no
    admin.
    """
    if not Skill.objects.select_for_update().filter(pk=skill_id).exists():
        raise NotFound("Skill")
    skill = find(skill_id)
    was_in_force = skill.is_in_force
    if "name" in told and _name(told["name"]) != skill.name:
        skill.name = _name(told["name"])
        _save(skill, update_fields=["name"])
    return _write(skill, scope, told, is_enabled=True if is_enabled is None and was_in_force else is_enabled)


@transaction.atomic
def delete(scope: Scope, skill_id: str) -> None:
    """Remove a skill with all its versions."""
    find(skill_id).delete()
    audit.record_for(scope, "skill.delete", object_id=skill_id)


@transaction.atomic
def keep_imported(scope: Scope, name: str, content: Mapping[str, Any]) -> Skill:
    """Keep a skill that was imported: a new one, or a new version of the one of that name. An admin has to enable it."""
    there = Skill.objects.filter(name=_name(name)).first()
    if there is None:
        return create(scope, name=name, is_enabled=False, **content)
    skill = find(there.pk)
    _write_version(skill, scope, _checked(content))
    check_health(skill)
    return find(there.pk)


def check_health(skill: Skill) -> list[str]:
    """Find out whether all that a skill needs is there; keep and return what isn't."""
    content = _content(skill)
    needed = [*content.tool_names, *content.dependencies.get("tools", [])]
    skill.health_problems = [f"There is no tool {name}" for name in dict.fromkeys(needed) if name not in tools()]
    skill.health_status = Skill.Health.UNHEALTHY if skill.health_problems else Skill.Health.HEALTHY
    skill.save(update_fields=["health_problems", "health_status"])
    return skill.health_problems


def _write(skill: Skill, scope: Scope, told: Mapping[str, Any], *, is_enabled: bool | None) -> Skill:
    """Write all that is told; `is_enabled` None leaves in force what is."""
    _write_version(skill, scope, _checked(told))
    _settle(skill, scope, told)
    if is_enabled is not None:
        _enable(skill, scope, is_enabled)
    check_health(skill)
    Skill.objects.filter(pk=skill.pk).update(updated_at=Now())
    return find(skill.pk)


def _content(skill: Skill) -> SkillVersion:
    if skill.current is None:
        raise NotFound("Version")
    return skill.current


def _write_version(skill: Skill, scope: Scope, told: Mapping[str, Any]) -> None:
    """Write a new version with what is `told`, unless it says what the current one says."""
    current = skill.current
    before = {name: getattr(current, name) for name in CONTENT} if current else {}
    after = before | {name: value for name, value in told.items() if name in CONTENT}
    if current and after == before:
        return
    number = current.number + 1 if current else 1
    skill.current = SkillVersion.objects.create(skill=skill, number=number, author=scope.user, **after)
    skill.save(update_fields=["current"])
    if current:
        audit.record_for(scope, "skill.change", object_id=skill.pk, version=number)


def _settle(skill: Skill, scope: Scope, told: Mapping[str, Any]) -> None:
    """Store for whom the skill is, and whether its risk may be lower than the tools' own."""
    if "is_for_everybody" in told and told["is_for_everybody"] != skill.is_for_everybody:
        skill.is_for_everybody = told["is_for_everybody"]
        skill.save(update_fields=["is_for_everybody"])
        audit.record_for(scope, "skill.for_everybody", object_id=skill.pk, value=skill.is_for_everybody)
    if "roles" in told:
        _give_to(skill, scope, told["roles"])
    if "lowers_risk" in told and told["lowers_risk"] != skill.lowers_risk:
        if told["lowers_risk"] and not scope.role.includes(Rank.ADMIN):
            raise OpenInternError("FORBIDDEN", "Only an admin may lower the risk of a tool")
        skill.lowers_risk = told["lowers_risk"]
        skill.save(update_fields=["lowers_risk"])
        content = _content(skill)
        audit.record_for(
            scope, "skill.lowers_risk", object_id=skill.pk, value=skill.lowers_risk, risk=content.risk_level,
            tools=content.tool_names,
        )  # fmt: skip


def _give_to(skill: Skill, scope: Scope, ids: Sequence[str]) -> None:
    there = list(Role.objects.filter(pk__in=ids))
    if len(there) != len(set(ids)):
        raise Invalid("roles", "Role not found")
    before = {role.pk for role in skill.roles.all()}
    if before != set(ids):
        skill.roles.set(there)
        audit.record_for(scope, "skill.roles", object_id=skill.pk, roles=sorted(ids))


def _enable(skill: Skill, scope: Scope, is_enabled: bool) -> None:
    """Put the current version in force, or none. Raises FORBIDDEN for whoever is no admin."""
    wanted = skill.current if is_enabled else None
    if (wanted and wanted.pk) == (skill.enabled and skill.enabled.pk):
        return
    if not scope.role.includes(Rank.ADMIN):
        raise OpenInternError("FORBIDDEN", "Only an admin may enable a skill")
    skill.enabled = wanted
    skill.save(update_fields=["enabled"])
    action = "skill.enable" if wanted else "skill.disable"
    audit.record_for(scope, action, object_id=skill.pk, version=wanted.number if wanted else None)


def _save(skill: Skill, **how: Any) -> None:
    try:
        with transaction.atomic():
            skill.save(**how)
    except IntegrityError as error:
        if "teams_skill_name" not in str(error):
            raise
        raise OpenInternError("CONFLICT", f"There is a skill {skill.name} already") from error


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > 100:
        raise Invalid("name", "Must be 1 to 100 characters")
    return name


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content that may be stored. Raises VALIDATION_ERROR for the first thing that may not."""
    content = {name: value for name, value in told.items() if name in CONTENT}
    if len(content.get("text", "")) > LONGEST_TEXT:
        raise Invalid("text", f"Must be at most {LONGEST_TEXT} characters")
    if len(content.get("description", "")) > LONGEST_DESCRIPTION:
        raise Invalid("description", f"Must be at most {LONGEST_DESCRIPTION} characters")
    if "tools" in content:
        content["tools"] = [_tool(place, tool) for place, tool in enumerate(content["tools"])]
        if len(content["tools"]) > MOST_TOOLS:
            raise Invalid("tools", f"Must be at most {MOST_TOOLS}")
    if "dependencies" in content:
        content["dependencies"] = _dependencies(content["dependencies"])
    cleaned, _found = redact(storable(content))
    return dict(cleaned)


def _tool(place: int, tool: Any) -> dict[str, Any]:
    told = {"name": tool} if isinstance(tool, str) else dict(tool)
    if not isinstance(told.get("name"), str) or not _TOOL_NAME.fullmatch(told["name"]):
        raise Invalid(f"tools.{place}.name", "Must be a tool's name")
    if len(str(told)) > 20_000:
        raise Invalid(f"tools.{place}", "Is too long")
    return {
        "name": told["name"],
        "description": str(told.get("description", ""))[:2000],
        "parameters": told["parameters"] if isinstance(told.get("parameters"), dict) else {},
    }


def _dependencies(told: Mapping[str, Any]) -> dict[str, Any]:
    names, variables = list(told.get("tools", [])), list(told.get("env_vars", []))
    for place, name in enumerate(names):
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise Invalid(f"dependencies.tools.{place}", "Must be a tool's name")
    for place, name in enumerate(variables):
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or _REFUSED_VARIABLES.fullmatch(name):
            raise Invalid(f"dependencies.env_vars.{place}", "Must be the name of a variable of the skill's own")
    if len(names) + len(variables) > MOST_TOOLS:
        raise Invalid("dependencies", f"Must be at most {MOST_TOOLS}")
    return {"tools": names, "env_vars": variables}
