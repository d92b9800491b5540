"""Bringing the answer of a tool call that said it would come later: from any process, as often as you like, once.

| the call is                     | what a delivery does                                                     |
|---------------------------------|--------------------------------------------------------------------------|
| awaited, of a waiting run       | is its result; with the last that is open, any worker may claim the run  |
| awaited, of a run at work       | is its result; the worker finds it before it waits again                 |
| begun, but not yet awaited      | the same: what was promised was faster than the run, or its worker died  |
| answered, overdue, of an ended run | nothing: False                                                        |

The run's row is locked for all of it, so the result lands once, and the run is woken once. A delivery takes that one
lock: whoever has to say that a run of its own has ended says so in a transaction of its own, after that end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from runs import log
from runs.events import Draft, EventType
from runs.models import Approval, Effect, Event, Run
from runs.queue import tickets
from runs.tools import results
from runs.tools.registry import tools

_OPEN = (Effect.Status.STARTED, Effect.Status.AWAITED)
#: With a call in one of these a step can't go on.
_STILL_OPEN = (Effect.Status.AWAITED, Effect.Status.IN_DOUBT)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What comes for a call: `value` for the model, or `error` in its place. `kind` and `reference` as the tool gave them.

    `from_outside`: nobody we know wrote it. `is_tainted`: whoever wrote it had read such text. `about` goes into the
    event as it is, for those who read the log.
    """

    kind: str
    reference: str
    value: dict[str, Any] | None = None
    error: str = ""
    code: str = "TOOL_ERROR"
    from_outside: bool = False
    is_tainted: bool = False
    about: dict[str, Any] | None = None


@transaction.atomic
def deliver(run_id: str, tool_call_id: str, delivery: Delivery) -> bool:
    """Give a call of a run of the current organisation its result; False if nobody waits for it (any more).

    May be repeated, and called by several at once: the first stands.
    """
    run = Run.objects.unfinished().select_for_update(of=("self",)).select_related("session").filter(pk=run_id).first()
    effect = _open_call(run, tool_call_id, delivery) if run else None
    if run is None or effect is None:
        return False
    Effect.objects.filter(pk=effect.pk).update(status=Effect.Status.DONE)
    wakes = run.status == Run.Status.WAITING and not _has_open(run)
    changes: dict[str, Any] = {"status": Run.Status.PENDING} if wakes else {}
    log.append(run, _result(run, effect, delivery), **changes)
    if wakes:
        tickets.requeue(run)
    return True


def _open_call(run: Run, tool_call_id: str, delivery: Delivery) -> Effect | None:
    """The call, if it is to be answered by this: one that isn't awaited yet hasn't told what it waits for.

    Calls of an earlier step are of a turn that was given up.
    """
    effect = Effect.objects.filter(run=run, step=run.step, tool_call_id=tool_call_id, status__in=_OPEN).first()
    if effect is None:
        return None
    if effect.status == Effect.Status.AWAITED:
        return effect if (effect.awaits_kind, effect.awaits_reference) == (delivery.kind, delivery.reference) else None
    tool = tools().get(effect.tool)
    return effect if tool is not None and tool.answers_later else None


def _has_open(run: Run) -> bool:
    open_calls = Effect.objects.filter(run=run, step=run.step, status__in=_STILL_OPEN)
    return open_calls.exists() or Approval.objects.filter(run=run, status=Approval.Status.PENDING).exists()


def _result(run: Run, effect: Effect, delivery: Delivery) -> Draft:
    called = Event.objects.filter(
        run=run, step=effect.step, type=EventType.TOOL_CALLED, payload__tool_call_id=effect.tool_call_id
    ).first()
    payload: dict[str, Any] = {
        "toolName": effect.tool,
        "tool_call_id": effect.tool_call_id,
        "result": None if delivery.error else results.bounded(delivery.value or {}),
        "isError": bool(delivery.error),
        "duration_ms": round((timezone.now() - called.at).total_seconds() * 1000) if called else 0,
        "awaited": {"kind": delivery.kind, "reference": delivery.reference} | (delivery.about or {}),
    }
    edited = Approval.objects.filter(run=run, tool_call_id=effect.tool_call_id, edited_arguments__isnull=False).first()
    if edited is not None:
        payload["args"] = edited.edited_arguments
    if delivery.from_outside:
        payload["from_outside"] = True
    if delivery.is_tainted:
        payload["tainted"] = True
    if delivery.error:
        payload["error"] = {"code": delivery.code, "message": delivery.error}
    return Draft(EventType.TOOL_RESULT, payload, agent_id=called.agent_id if called else "")
