"""A team of three with the run that it works on, for what its members say and what is on its board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from memory.models import Memory
from memory.owners import Owner
from openintern.tenancy.scope import org_scope
from runs.models import Run
from runs.stop import Stop
from runs.tools.registry import ToolContext, tools
from teams.models import AgentInstance, BoardEntry, Group, Member, Role
from tests.conftest import Person

_number = iter(range(1_000_000))


@dataclass(frozen=True)
class Team:
    """A group with the run that it works on, as the runner sees them."""

    person: Person
    group: Group
    members: dict[str, Member]
    run: Run

    def agent(self, role: str) -> str:
        return self.members[role].agent_id

    def context(self, role: str, call: str = "", **told: Any) -> ToolContext:
        """What a tool is given that the member calls."""
        call = call or f"call_{next(_number)}"
        known: dict[str, Any] = {
            "scope": self.person.scope, "run_id": self.run.pk, "tool_call_id": call, "idempotency_key": call,
            "workspace": None, "stop": Stop(), "agent_id": self.agent(role), "group_id": self.run.group_id,
        }  # fmt: skip
        return ToolContext(**{**known, **told})

    def says(self, role: str, tool: str, /, *, context: ToolContext | None = None, **arguments: Any) -> dict[str, Any]:
        """Let a member call a tool; return its result."""
        with org_scope(self.person.org):
            return tools()[tool].call(context or self.context(role), arguments)  # type: ignore[return-value]

    def entries(self, **wanted: Any) -> list[BoardEntry]:
        with org_scope(self.person.org):
            return list(BoardEntry.objects.filter(group=self.group, **wanted).order_by("created_at", "part"))

    def memories(self) -> list[Memory]:
        """What the board is remembered as, as it can be found now."""
        with org_scope(self.person.org):
            everything: Any = Memory.objects
            found = everything.of(Owner(board=self.group.pk)).current().select_related("shelf")
            return list(found.order_by("created_at"))


@pytest.fixture
def make_team(make_role: Callable[..., Role], start_run: Callable[..., Run]) -> Callable[..., Team]:
    """Make a team of a scout, a critic and a chief, who leads, and a run of it that has begun."""

    def make(person: Person, **told: Any) -> Team:
        run = start_run(person, "Look into it")
        with org_scope(person.org):
            group = Group.objects.create(name=f"board group {next(_number)}", **told)
            members = {}
            for ordinal, name in enumerate(("scout", "critic", "chief")):
                role = make_role(person, name=f"{name} {next(_number)}", is_lead=name == "chief")
                agent = AgentInstance.objects.create(role=role, project=group.project)
                members[name] = Member.objects.create(group=group, role=role, agent=agent, ordinal=ordinal)
            Run.objects.filter(pk=run.pk).update(
                group_id=group.pk, agent_id=f"group:{group.pk}", config={**run.config, "team": pinned(group, members)}
            )
            run.refresh_from_db()
        return Team(person, group, members, run)

    return make


def pinned(group: Group, members: dict[str, Member]) -> dict[str, Any]:
    """A team as a run is pinned to it."""
    told = [
        {
            "id": one.pk, "agent_id": one.agent_id, "name": name, "ordinal": one.ordinal, "is_lead": name == "chief",
            "config": {},
        }
        for name, one in members.items()
    ]  # fmt: skip
    return {
        "id": group.pk, "name": group.name, "mode": group.mode, "quorum": group.quorum, "max_rounds": group.max_rounds,
        "on_member_failure": group.on_member_failure, "members": told,
    }  # fmt: skip
