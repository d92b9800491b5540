"""Teams to give tasks to: each member plays a script of its own."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.llm import scripted
from runs.models import Event, Run
from teams import roles
from teams.models import AgentInstance, Group, Member
from tests.conftest import Person, events_of

Steps = list[dict[str, Any]]


def make_team(
    person: Person, *, lead: str = "", scripts: dict[str, Steps], by_purchase: bool = False, **told: Any
) -> Group:
    """Make a group of the person's organisation with a member for each script, in their order; names are their own.

    Which step a script is at goes by the conversation; `by_purchase`, by what was bought in this process: for members
    that work again, and for long scripts.
    """
    mark = random_text(6)
    with org_scope(person.org):
        group = Group.objects.create(name=f"team {mark}", **told)
        for place, (name, steps) in enumerate(scripts.items()):
            role = roles.create(
                person.scope,
                name=f"{name} {mark}",
                system_prompt=f"You are {name}.",
                model=f"scripted/{_script(f'{name} {mark}', steps, by_purchase=by_purchase)}",
            )
            agent = AgentInstance.objects.create(role=role, project=group.project)
            member = Member.objects.create(group=group, role=role, agent=agent, ordinal=place)
            if name == lead:
                group.lead = member
        group.save(update_fields=["lead"])
        return group


def _script(name: str, steps: Steps, *, by_purchase: bool) -> str:
    if not by_purchase:
        return json.dumps(steps, separators=(",", ":"))
    scripted.play(name, *steps)
    return name


def start_team(person: Person, group: Group, text: str = "a task", **options: Any) -> Run:
    """Give the team a task, in a session of its own unless told."""
    options.setdefault("session_key", f"s_{random_text(8)}")
    with org_scope(person.org):
        return lifecycle.create_run(person.scope, text=text, group_id=group.pk, at=timezone.now(), **options)


def names_of(run: Run) -> dict[str, str]:
    """The members' short names by their agents."""
    return {one["agent_id"]: one["name"].split()[0] for one in run.config["team"]["members"]}


def turns_of(person: Person, run: Run) -> list[str]:
    """Who worked, in which order and how it went: `a`, or `a!` for a turn that failed."""
    names = names_of(run)
    ended = [event for event in events_of(person, run) if event.type in {"member.completed", "member.failed"}]
    return [names[event.payload["agentId"]] + ("!" if event.type == "member.failed" else "") for event in ended]


def of_type(events: list[Event], *types: str) -> list[Event]:
    """Those of some types."""
    return [event for event in events if event.type in types]
