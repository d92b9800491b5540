"""What a role or a team brings into a run: the port through which the app above, which knows them, says so.

A run takes a brief when it is accepted and keeps it (`runs.pinning`): a role that is changed or deleted later changes
nothing in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from openintern.errors import NotFound
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from runs.tools.policy import Mandate


@dataclass(frozen=True, kw_only=True)
class SkillBrief:
    """A skill as a run is told of it. `is_implicit`: the agent may load it without being asked to."""

    id: str
    name: str
    description: str
    version: int
    provider: str
    risk: str
    tools: tuple[str, ...] = ()
    is_implicit: bool = False


@dataclass(frozen=True, kw_only=True)
class Brief:
    """What a run begins with: who the agent is, what it may do, what it can look up. Without a role, what all agents have."""

    role: dict[str, Any] | None = None  # id, name, version
    prompt: str = ""
    style: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] | None = None
    mandate: Mandate = field(default_factory=Mandate)
    skills: tuple[SkillBrief, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MemberBrief:
    """A member of a team: who it is in it, and what its role brings. `membership` is what its prompt says of the team."""

    id: str
    agent_id: str
    name: str
    ordinal: int
    is_lead: bool
    brief: Brief
    membership: str


@dataclass(frozen=True, kw_only=True)
class TeamBrief:
    """A team that a run is given to: who works in it, and by which rules. `project`: the one it belongs to."""

    id: str
    name: str
    project: Project | None
    mode: str
    quorum: int | None
    max_rounds: int
    on_member_failure: str
    members: tuple[MemberBrief, ...]


class Source(Protocol):
    """Who knows roles, skills and teams."""

    def brief(self, role_id: str) -> Brief:
        """Return what a role brings, or for "" what every agent has. Raises NOT_FOUND for a role that isn't there."""
        ...

    def choices(self) -> list[tuple[str, str]]:
        """Return the id and name of each role, in the order of their names."""
        ...

    def team(self, scope: Scope, group_id: str) -> TeamBrief:
        """Return a team. Raises NOT_FOUND for one out of sight, VALIDATION_ERROR for one without members."""
        ...

    def team_choices(self, scope: Scope) -> list[tuple[str, str]]:
        """Return the id and name of each team in sight that has members, in the order of their names."""
        ...


class _Nobody:
    """There is no such app: no roles, no skills, no teams."""

    def brief(self, role_id: str) -> Brief:
        if role_id:
            raise NotFound("Role")
        return Brief()

    def choices(self) -> list[tuple[str, str]]:
        return []

    def team(self, scope: Scope, group_id: str) -> TeamBrief:
        raise NotFound("Group")

    def team_choices(self, scope: Scope) -> list[tuple[str, str]]:
        return []


_source: Source = _Nobody()


def provide(source: Source) -> None:
    """Say who knows roles, skills and teams; called once, at start-up."""
    global _source  # noqa: PLW0603  the one place that holds it
    _source = source


def brief_of(role_id: str) -> Brief:
    """Return what a role brings into a run that begins now."""
    return _source.brief(role_id)


def role_choices() -> list[tuple[str, str]]:
    """Return the roles that a run can be given, as (id, name)."""
    return _source.choices()


def role_named(text: str) -> str:
    """Return the id of the role that is called so; what is no role's name is taken for an id."""
    return {name: role_id for role_id, name in role_choices()}.get(text, text)


def team_of(scope: Scope, group_id: str) -> TeamBrief:
    """Return the team that a run which begins now is given to."""
    return _source.team(scope, group_id)


def team_choices(scope: Scope) -> list[tuple[str, str]]:
    """Return the teams that somebody can give a run to, as (id, name)."""
    return _source.team_choices(scope)


def team_named(scope: Scope, text: str) -> str:
    """Return the id of the team that is called so; what is no team's name is taken for an id."""
    return {name: group_id for group_id, name in team_choices(scope)}.get(text, text)
