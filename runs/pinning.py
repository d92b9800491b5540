"""What a run is pinned to: the role, the prompt, the tools, the policy, the model and the limits that it began with.

Whatever is changed later holds for later runs. A person can have a run go on with the current version, as an act of
its own (`runs.lifecycle.repin_run`); what was approved under the old policy is asked again.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

from django.conf import settings

from openintern.errors import OpenInternError
from runs.briefs import Brief, MemberBrief, TeamBrief, brief_of
from runs.engine.prompt import system_prompt
from runs.llm.context import window_of
from runs.llm.registry import default_spec, validate_choice
from runs.models import Run
from runs.tools.policy import Lists, Mandate, offered_tools
from runs.tools.registry import Seat

#: Where the configuration of a team's run has the team.
TEAM: Final = "team"


def pin(role_id: str, llm_config: dict[str, Any] | None, *, delegated: Lists) -> dict[str, Any]:
    """Return what a run will be done with, whatever the configuration says later. Holds no key.

    Raises NOT_FOUND for a role that isn't there, VALIDATION_ERROR for a model that the operator doesn't allow.
    """
    brief = brief_of(role_id)
    return {**_limits(), **_model(llm_config or brief.model), **given_by(brief, delegated=delegated)}


def pin_team(team: TeamBrief, llm_config: dict[str, Any] | None, *, delegated: Lists) -> dict[str, Any]:
    """Return what a team's run will be done with: each member as `pin` has it, beside what is the run's as a whole.

    A model that the task names takes the place of every member's own. The run counts to the model of the lead, or of
    the last member, and has the time of all of them together. Raises VALIDATION_ERROR for a model that the operator doesn't allow.
    """
    members = [_member(one, llm_config, delegated=delegated) for one in team.members]
    leading = next((one for one in members if one["is_lead"]), members[-1])
    rules = ("id", "name", "mode", "quorum", "max_rounds", "on_member_failure")
    return {
        **_limits(),
        "timeout_ms": settings.CONFIG.agent.timeout_ms * len(members),
        **{name: leading["config"][name] for name in ("model", "context_tokens")},
        "role": None,
        "prompt": "",
        "tools": [],
        "mandate": Mandate(delegated=delegated).pinned(),
        "skills": [],
        TEAM: {**{name: getattr(team, name) for name in rules}, "members": members},
    }


def _limits() -> dict[str, Any]:
    agent = settings.CONFIG.agent
    return {
        "max_steps": agent.max_steps,
        "timeout_ms": agent.timeout_ms,
        "max_tokens": agent.max_tokens_per_run,
        "max_cost": str(agent.max_cost_per_run) if agent.max_cost_per_run is not None else None,
    }


def _model(choice: dict[str, Any] | None) -> dict[str, Any]:
    spec = validate_choice(choice) if choice else default_spec()
    window = window_of(spec.model, at_most=settings.CONFIG.agent.context_tokens)
    return {"model": asdict(spec), "context_tokens": window}


def _member(one: MemberBrief, llm_config: dict[str, Any] | None, *, delegated: Lists) -> dict[str, Any]:
    about = {name: getattr(one, name) for name in ("id", "agent_id", "name", "ordinal", "is_lead", "membership")}
    given = given_by(one.brief, delegated=delegated, seat=_seat(is_lead=one.is_lead), membership=one.membership)
    return {**about, "config": {**_model(llm_config or one.brief.model), **given}}


def given_by(brief: Brief, *, delegated: Lists, seat: Seat = "", membership: str = "") -> dict[str, Any]:
    """Return what a brief comes to: what an agent is told, and what it may do, with its place in a team, if it has one."""
    mandate = replace(brief.mandate, delegated=delegated)
    tools = offered_tools(mandate, seat=seat)
    return {
        "role": brief.role,
        "prompt": system_prompt(tools, brief, membership=membership),
        "tools": [tool.name for tool in tools],
        "mandate": mandate.pinned(),
        "skills": [asdict(skill) for skill in brief.skills],
    }


def current(run: Run) -> dict[str, Any]:
    """Return what `run` would be given if it began now; of a team, its members stay who they are.

    Raises NOT_FOUND if a role is gone.
    """
    delegated = Mandate.of(run.config).delegated
    if team := run.config.get(TEAM):
        return {TEAM: team | {"members": [_current_member(one, delegated=delegated) for one in team["members"]]}}
    return _given_now(run.config, delegated=delegated)


def _current_member(member: dict[str, Any], *, delegated: Lists) -> dict[str, Any]:
    config, seat = member["config"], _seat(is_lead=member["is_lead"])
    now = _given_now(config, delegated=delegated, seat=seat, membership=member["membership"])
    return member | {"config": config | now}


def _given_now(config: dict[str, Any], *, delegated: Lists, seat: Seat = "", membership: str = "") -> dict[str, Any]:
    role = config.get("role") or {}
    return given_by(brief_of(role.get("id", "")), delegated=delegated, seat=seat, membership=membership)


def _seat(*, is_lead: bool) -> Seat:
    return "lead" if is_lead else "member"


def differences(run: Run) -> list[str]:
    """Return in what the current version differs from what an unfinished run is pinned to; [] where its role is gone."""
    if run.is_final or "mandate" not in run.config:
        return []
    try:
        now = current(run)
    except OpenInternError:
        return []
    return [name for name in now if _plain(now[name]) != _plain(run.config.get(name))]


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
