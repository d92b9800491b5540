"""Who can be given a task: the agent that everybody has, a role, a team."""

from __future__ import annotations

from dataclasses import dataclass

from openintern.tenancy.scope import Scope
from runs.briefs import role_choices, team_choices
from runs.lifecycle import GROUP_PREFIX


@dataclass(frozen=True)
class Choices:
    """Roles and teams by name, each under the name of the agent that a run is given to."""

    roles: list[tuple[str, str]]
    teams: list[tuple[str, str]]


def agent_choices(scope: Scope) -> Choices:
    """Return whom somebody can give a task to."""
    teams = [(f"{GROUP_PREFIX}{group_id}", name) for group_id, name in team_choices(scope)]
    return Choices(role_choices(), teams)
