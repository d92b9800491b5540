"""What the model will see: of a role by itself, and of each member of a group in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openintern.errors import OpenInternError
from openintern.tenancy.scope import Scope
from runs.briefs import brief_of
from runs.pinning import TEAM, given_by, pin_team
from runs.tools.policy import Lists
from teams.briefing import Desk
from teams.models import Group


@dataclass(frozen=True)
class Preview:
    """A system message, and the tools that are offered with it."""

    name: str
    prompt: str
    tools: list[str]
    is_lead: bool = False


def of_role(role_id: str) -> Preview:
    """Return what an agent of this role is given that works by itself."""
    brief = brief_of(role_id)
    given = given_by(brief, delegated=Lists())
    return Preview((brief.role or {})["name"], given["prompt"], given["tools"])


def of_members(scope: Scope, group: Group) -> list[Preview]:
    """Return what each member of a group is given, in their order, with the lead's duties for the lead.

    [] where no run could begin now: nobody is in it, or the operator doesn't allow a member's model any more.
    """
    try:
        team = pin_team(Desk().team(scope, group.pk), None, delegated=Lists())[TEAM]
    except OpenInternError:
        return []
    return [_of_member(one) for one in team["members"]]


def _of_member(one: dict[str, Any]) -> Preview:
    return Preview(one["name"], one["config"]["prompt"], one["config"]["tools"], is_lead=one["is_lead"])
