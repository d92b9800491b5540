"""Giving part of a task to another role or team: a run that comes from a run.

The child is found again by the call that asked for it, so that a call which is carried out twice makes one child. It
acts for the same person in the same project, draws on the same limits, and may do nothing that its parent may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from openintern.errors import OpenInternError
from runs import family
from runs.family import DELEGATED_RUN, DELEGATION
from runs.lifecycle import create_run
from runs.models import Effect, Run
from runs.programs import program_of
from runs.provenance import PassedOn
from runs.tools.policy import Lists, Mandate, Verdict, decide
from runs.tools.registry import Answer, Later, ToolContext, ToolError, tools

#: How many runs one run may give work to.
MOST: Final = 8


@transaction.atomic
def delegate(
    context: ToolContext, *, text: str, role_id: str = "", group_id: str = "", only: Sequence[str] = ()
) -> Answer:
    """Begin a run for a tool call, or find the one that it has begun, and have the call wait for its end.

    `only` narrows what it may use to these tools. Raises ToolError for whatever the model should read: that it is too
    deep or one too many, that there is no such role or team, that a tool isn't the caller's to pass on.
    """
    parent = _lock_parent(context)
    child = Run.objects.filter(parent=parent, config__delegation__tool_call_id=context.tool_call_id).first()
    if child is None:
        _check_room(parent)
        child = _begin(context, parent, text=text, role_id=role_id, group_id=group_id, only=only)
    return Later(
        kind=DELEGATED_RUN,
        reference=child.pk,
        within=timedelta(hours=settings.CONFIG.agent.approval_hours + 24),  # it may ask somebody, who has that long
        message=f"the delegated run {child.pk}",
    )


def _lock_parent(context: ToolContext) -> Run:
    """Lock the run whose call this is, which keeps it from ending meanwhile, and others from making the same child."""
    rows = Run.objects.unfinished().select_for_update(of=("self",), no_key=True)
    parent = rows.select_related("session", "user", "project").filter(pk=context.run_id).first()
    is_open = Effect.objects.filter(
        run=context.run_id,
        tool_call_id=context.tool_call_id,
        status__in=(Effect.Status.STARTED, Effect.Status.AWAITED),
    ).exists()
    if parent is None or not is_open:
        raise ToolError("This call is over")
    return parent


def _check_room(parent: Run) -> None:
    if family.depth(parent) >= family.DEEPEST:
        raise ToolError(f"Work can't be passed on more than {family.DEEPEST} times: do it yourself")
    if parent.children.count() >= MOST:
        raise ToolError(f"A run can pass on work {MOST} times at most: do the rest yourself")
    if family.family_of(parent).runs >= family.LARGEST:
        raise ToolError(f"One task can't come to more than {family.LARGEST} runs: do it yourself")


def _begin(context: ToolContext, parent: Run, *, text: str, role_id: str, group_id: str, only: Sequence[str]) -> Run:
    try:
        return create_run(
            context.scope,
            text=text,
            at=timezone.now(),
            role_id=role_id,
            group_id=group_id,
            delegated=narrowed(_mandate_of(parent), only),
            passed_on=PassedOn(by=parent, config=_pinned(parent, context)),
        )
    except OpenInternError as error:
        raise ToolError(error.message) from error


def _pinned(parent: Run, context: ToolContext) -> dict[str, Any]:
    """What a child's configuration has from where it comes from. It hears nothing of the conversation but its task."""
    return {
        DELEGATION: {
            "tool_call_id": context.tool_call_id,
            "by": context.agent_id,
            "root": family.root_id(parent),
            "depth": family.depth(parent) + 1,
            "is_tainted": context.is_tainted,
        },
        "max_tokens": parent.config["max_tokens"],
        "max_cost": parent.config["max_cost"],
        "history": [],
    }


def _mandate_of(run: Run) -> Mandate:
    """Return what the agent may do whose turn it is."""
    return Mandate.of(program_of(run).turn(run).config)


def narrowed(mandate: Mandate, only: Sequence[str] = ()) -> Lists:
    """Return what delegated work may use: nothing that is denied here, and where there is a list, nothing beside it.

    Raises ToolError if `only` names a tool that can't be passed on.
    """
    denied = (*mandate.delegated.denied, *mandate.role.denied)
    if not (only or mandate.delegated.allowed or mandate.role.allowed):
        return Lists(denied=denied)
    mine = [name for name, tool in tools().items() if decide(tool=tool, mandate=mandate).verdict is not Verdict.DENY]
    if foreign := sorted(set(only) - set(mine)):
        raise ToolError(f"You can't pass on what you may not use yourself: {', '.join(foreign)}")
    return Lists(allowed=tuple(name for name in mine if not only or name in only), denied=denied)
