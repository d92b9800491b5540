"""The team as a run is pinned to it: nothing that is changed or deleted later changes anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.pinning import TEAM


@dataclass(frozen=True, kw_only=True)
class PinnedMember:
    """One member: the agent that works, and with which configuration."""

    id: str
    agent_id: str
    name: str
    is_lead: bool
    config: Mapping[str, Any]

    def has(self, tool: str) -> bool:
        """Whether the member is offered a tool."""
        return tool in self.config.get("tools", ())


@dataclass(frozen=True, kw_only=True)
class Team:
    """Who works together, in which order, and by which rules."""

    id: str
    name: str
    max_rounds: int
    on_member_failure: str  # continue | retry | fail
    members: tuple[PinnedMember, ...]
    is_parallel: bool = False  # all but the lead work beside each other, in runs of their own
    quorum: int | None = None  # of how many of those the lead waits; None: of all

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Team:
        """Return the team that a run's configuration holds."""
        told = config[TEAM]
        members = sorted(told["members"], key=lambda member: member["ordinal"])
        return cls(
            id=told["id"],
            name=told["name"],
            max_rounds=told["max_rounds"],
            on_member_failure=told["on_member_failure"],
            members=tuple(_member(member) for member in members),
            is_parallel=told.get("mode") == "parallel" and any(not member["is_lead"] for member in members),
            quorum=told.get("quorum"),
        )

    @property
    def lead(self) -> PinnedMember | None:
        """Who decides, if anybody does."""
        return next((member for member in self.members if member.is_lead), None)

    @property
    def others(self) -> tuple[PinnedMember, ...]:
        """All but the lead, in their order."""
        return tuple(member for member in self.members if not member.is_lead)

    def member(self, agent_id: str) -> PinnedMember:
        """Return the member that an agent is."""
        return next(member for member in self.members if member.agent_id == agent_id)

    def has(self, agent_id: str) -> bool:
        """Whether an agent is one of its members."""
        return any(member.agent_id == agent_id for member in self.members)

    def name_of(self, agent_id: str) -> str:
        """Return by what name the others know an agent."""
        return self.member(agent_id).name if self.has(agent_id) else agent_id


def _member(member: Mapping[str, Any]) -> PinnedMember:
    return PinnedMember(**{name: member[name] for name in ("id", "agent_id", "name", "is_lead", "config")})
