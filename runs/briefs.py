"""What a role brings into a run: the port through which the app above, which knows roles and skills, says so.

A run takes a brief when it is accepted and keeps it (`runs.pinning`): a role that is changed or deleted later changes
nothing in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from openintern.errors import NotFound
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


class Source(Protocol):
    """Who knows roles and skills."""

    def brief(self, role_id: str) -> Brief:
        """Return what a role brings, or for "" what every agent has. Raises NOT_FOUND for a role that isn't there."""
        ...

    def choices(self) -> list[tuple[str, str]]:
        """Return the id and name of each role, in the order of their names."""
        ...


class _Nobody:
    """There is no such app: no roles, no skills."""

    def brief(self, role_id: str) -> Brief:
        if role_id:
            raise NotFound("Role")
        return Brief()

    def choices(self) -> list[tuple[str, str]]:
        return []


_source: Source = _Nobody()


def provide(source: Source) -> None:
    """Say who knows roles and skills; called once, at start-up."""
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
