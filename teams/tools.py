"""Tools by which agents look up the skills they were given. What an admin hasn't enabled they can't see."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from runs.tools.registry import ToolContext, ToolError, tool
from teams import delegating as _delegating  # noqa: F401  registers its tools
from teams.messages import tools as _messages  # noqa: F401  registers them
from teams.models import SkillVersion

_PIECE: Final = 8_000  # characters of a text that one call returns: 24 KB of Chinese
SkillId = Annotated[str, "The id of a skill, as the prompt and skills_list give it", Field(max_length=40)]


@tool(risk="low", recovery="pure", hazard="none", taints=False)
def skills_list(
    context: ToolContext,
    include_tools: Annotated[bool, "With the names of their tools"] = True,
    provider: Annotated[Literal["builtin", "mcp"] | None, "Only those of this provider"] = None,
    risk_level: Annotated[Literal["low", "medium", "high"] | None, "Only those of this risk"] = None,
) -> dict[str, Any]:
    """List the skills that you were given: how things are done here. Read one with skill_load before you do it."""
    given = [
        _about(version, with_tools=include_tools)
        for version in _given(context)
        if provider in {None, version.provider} and risk_level in {None, version.risk_level}
    ]
    return {"skills": given, "count": len(given)}


@tool(risk="low", recovery="pure", hazard="none", taints=False)
def skills_get(context: ToolContext, skill_id: SkillId) -> dict[str, Any]:
    """Return what a skill is about, its tools and the names of its files."""
    version = _version(context, skill_id)
    return {**_about(version, with_tools=True), "files": sorted(version.files), "tools": version.tools}


@tool(risk="low", recovery="pure", hazard="none", taints=False)
def skill_load(
    context: ToolContext,
    skill_id: SkillId,
    file: Annotated[str, "One of its files; without: the skill's own text", Field(max_length=200)] = "",
    offset: Annotated[int, "From which character on", Field(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Read a skill: how something is done here. Where the text goes on, `next_offset` says from where."""
    version = _version(context, skill_id)
    text = version.text
    if file:
        if file not in version.files:
            raise ToolError(f"The skill has no file {file}; it has: {', '.join(sorted(version.files)) or 'none'}")
        text = version.files[file]
    piece = text[offset : offset + _PIECE]
    told = {"id": version.skill_id, "name": version.skill.name, "version": version.number, "text": piece}
    if file:
        told["file"] = file
    elif offset == 0:
        told["files"] = sorted(version.files)
    return told | ({"next_offset": offset + _PIECE} if offset + _PIECE < len(text) else {})


def _given(context: ToolContext) -> list[SkillVersion]:
    """The versions that the run was given when it began, as far as they are still there."""
    rows = SkillVersion.objects.filter(skill__in=context.skills).select_related("skill").order_by("skill__name")
    return [row for row in rows if context.skills[row.skill_id] == row.number]


def _version(context: ToolContext, skill_id: str) -> SkillVersion:
    number = context.skills.get(skill_id, 0)
    version = SkillVersion.objects.filter(skill=skill_id, number=number).select_related("skill").first()
    if version is None:
        raise ToolError(f"You have no skill {skill_id}; skills_list names those you have")
    return version


def _about(version: SkillVersion, *, with_tools: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": version.skill_id,
        "name": version.skill.name,
        "description": version.description,
        "version": version.number,
        "provider": version.provider,
        "risk_level": version.risk_level,
        "auto": version.allow_implicit_invocation,
    }
    return told | ({"tools": version.tool_names} if with_tools else {})
