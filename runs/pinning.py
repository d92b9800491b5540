"""What a run is pinned to: the role, the prompt, the tools, the policy, the model and the limits that it began with.

Whatever is changed later holds for later runs. A person can have a run go on with the current version, as an act of
its own (`runs.lifecycle.repin_run`); what was approved under the old policy is asked again.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from django.conf import settings

from openintern.errors import OpenInternError
from runs.briefs import Brief, brief_of
from runs.engine.prompt import system_prompt
from runs.llm.context import window_of
from runs.llm.registry import default_spec, validate_choice
from runs.models import Run
from runs.tools.policy import Lists, Mandate, offered_tools
from runs.tools.registry import Seat

#: What a run is given by its role and by the organisation's policy, as opposed to by its task or by the operator.
GIVEN = ("role", "prompt", "tools", "mandate", "skills")


def pin(role_id: str, llm_config: dict[str, Any] | None, *, delegated: Lists) -> dict[str, Any]:
    """Return what a run will be done with, whatever the configuration says later. Holds no key.

    Raises NOT_FOUND for a role that isn't there, VALIDATION_ERROR for a model that the operator doesn't allow.
    """
    brief = brief_of(role_id)
    agent = settings.CONFIG.agent
    choice = llm_config or brief.model
    spec = validate_choice(choice) if choice else default_spec()
    return {
        "model": asdict(spec),
        **given_by(brief, delegated=delegated),
        "max_steps": agent.max_steps,
        "timeout_ms": agent.timeout_ms,
        "max_tokens": agent.max_tokens_per_run,
        "context_tokens": window_of(spec.model, at_most=agent.context_tokens),
        "max_cost": str(agent.max_cost_per_run) if agent.max_cost_per_run is not None else None,
    }


def given_by(brief: Brief, *, delegated: Lists, seat: Seat = "") -> dict[str, Any]:
    """Return what a brief comes to: what an agent is told, and what it may do, with its place in a team, if it has one."""
    mandate = replace(brief.mandate, delegated=delegated)
    tools = offered_tools(mandate, seat=seat)
    return {
        "role": brief.role,
        "prompt": system_prompt(tools, brief),
        "tools": [tool.name for tool in tools],
        "mandate": mandate.pinned(),
        "skills": [asdict(skill) for skill in brief.skills],
    }


def current(run: Run) -> dict[str, Any]:
    """Return what `run` would be given if it began now. Raises NOT_FOUND if its role is gone."""
    role = run.config.get("role") or {}
    return given_by(brief_of(role.get("id", "")), delegated=Mandate.of(run.config).delegated)


def differences(run: Run) -> list[str]:
    """Return in what the current version differs from what an unfinished run is pinned to; [] where its role is gone."""
    if run.is_final or "mandate" not in run.config:
        return []
    try:
        now = current(run)
    except OpenInternError:
        return []
    return [name for name in GIVEN if _plain(now[name]) != _plain(run.config.get(name))]


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value
