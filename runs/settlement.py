"""Deciding about a tool call in doubt: a person says what became of it, and the run goes on.

| outcome          | the call                                       | the model hears                   |
|------------------|------------------------------------------------|-----------------------------------|
| `happened`       | is done; its result is what the person gives   | that result                       |
| `did_not_happen` | is done, without effect                        | an error that says so             |
| `run_again`      | is planned anew, under its idempotency key     | the result of the second try      |
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Any

from django.db import transaction

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from runs import log
from runs.events import Draft, EventType
from runs.lifecycle import lock_run
from runs.models import Effect, Event, Run
from runs.queue import tickets

LONGEST_NOTE = 2000


class Outcome(StrEnum):
    """What a person found out about a call in doubt."""

    HAPPENED = "happened"
    DID_NOT_HAPPEN = "did_not_happen"
    RUN_AGAIN = "run_again"


@transaction.atomic
def settle_effect(
    scope: Scope, run_id: str, tool_call_id: str, *, outcome: str, result: dict[str, Any] | None = None, note: str = ""
) -> Run:
    """Record the decision, wake the run, and audit who decided; all or nothing.

    Raises RUN_NOT_WAITING unless the run waits, NOT_FOUND unless that call of it is in doubt (somebody may have been
    first), VALIDATION_ERROR for an unknown outcome.
    """
    decided = _outcome(outcome)
    if len(note) > LONGEST_NOTE:
        raise Invalid("note", f"Must be at most {LONGEST_NOTE} characters")
    run = lock_run(scope, run_id)
    if run.status != Run.Status.WAITING:
        raise OpenInternError("RUN_NOT_WAITING", f"Run is {run.status}")
    effect = Effect.objects.filter(run=run, tool_call_id=tool_call_id, status=Effect.Status.IN_DOUBT).first()
    if effect is None:
        raise NotFound("Tool call in doubt")
    agent_id = _who_called(effect)
    drafts = [_settled(effect, decided, by=scope.user.username, note=note), *_result(effect, decided, result, note)]
    drafts = [replace(draft, agent_id=agent_id) for draft in drafts]
    log.append(run, *drafts, status=Run.Status.PENDING)
    status = Effect.Status.PLANNED if decided is Outcome.RUN_AGAIN else Effect.Status.DONE
    Effect.objects.filter(run=run, tool_call_id=tool_call_id).update(status=status)
    tickets.requeue(run)
    audit.record_for(
        scope, "effect.settle", object_id=f"{run.pk}/{tool_call_id}", outcome=decided.value, tool=effect.tool
    )
    return run


def _outcome(text: str) -> Outcome:
    try:
        return Outcome(text)
    except ValueError as error:
        raise Invalid("outcome", f"Must be one of {', '.join(Outcome)}") from error


def _who_called(effect: Effect) -> str:
    """Return the agent that made the call: in a run that several work on, the log alone knows."""
    calls = Event.objects.filter(run=effect.run_id, type=EventType.TOOL_CALLED, step=effect.step)
    return calls.filter(payload__tool_call_id=effect.tool_call_id).values_list("agent_id", flat=True).first() or ""


def _settled(effect: Effect, outcome: Outcome, *, by: str, note: str) -> Draft:
    payload = {"toolName": effect.tool, "tool_call_id": effect.tool_call_id, "outcome": outcome.value, "settled_by": by}
    return Draft(EventType.TOOL_SETTLED, payload | ({"note": note} if note else {}))


def _result(effect: Effect, outcome: Outcome, result: dict[str, Any] | None, note: str) -> list[Draft]:
    """The reply that the model will read; none yet for a call that runs again."""
    payload: dict[str, Any] = {"toolName": effect.tool, "tool_call_id": effect.tool_call_id, "duration_ms": 0}
    match outcome:
        case Outcome.HAPPENED:
            value = result if result is not None else {"confirmed_by_a_person": True} | ({"note": note} if note else {})
            return [Draft(EventType.TOOL_RESULT, payload | {"result": value, "isError": False})]
        case Outcome.DID_NOT_HAPPEN:
            message = "The call was interrupted; a person has checked that it had no effect" + (
                f": {note}" if note else ""
            )
            error = {"code": "NOT_EXECUTED", "message": message}
            return [Draft(EventType.TOOL_RESULT, payload | {"result": None, "isError": True, "error": error})]
        case Outcome.RUN_AGAIN:
            return []
