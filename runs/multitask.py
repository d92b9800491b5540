"""A new run on a session that is busy: what becomes of the runs that are under way there.

| strategy    | the runs under way           | what later runs remember of them |
|-------------|------------------------------|----------------------------------|
| `enqueue`   | finish first                 | their answers                    |
| `reject`    | go on; the new one is refused| –                                |
| `interrupt` | are stopped                  | the task and what was said so far|
| `rollback`  | are stopped                  | nothing: they leave the conversation |
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from memory.forgetting import forget_from
from openintern.errors import Invalid, OpenInternError
from openintern.tenancy.scope import Scope
from runs.ending import cancel
from runs.events import EventType
from runs.models import Event, LiveText, Run, Session


class Strategy(StrEnum):
    """What a new run does to those that its session is busy with."""

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"
    ROLLBACK = "rollback"


def make_room(scope: Scope, session: Session, *, strategy: str, at: datetime) -> None:
    """Apply the strategy, in the transaction that accepts the new run.

    Raises CONFLICT for `reject` on a busy session, VALIDATION_ERROR for an unknown strategy.
    """
    match _strategy(strategy):
        case Strategy.ENQUEUE:
            return
        case Strategy.REJECT:
            if _under_way(session):
                raise OpenInternError("CONFLICT", f"Session {session.key} is busy", details={"reason": "SESSION_BUSY"})
        case Strategy.INTERRUPT:
            for run in _under_way(session):
                cancel(scope, run, at=at, why="interrupted", output=_said_so_far(run))
        case Strategy.ROLLBACK:
            for run in _under_way(session):
                cancel(scope, run, at=at, why="rolled_back", in_conversation=False)
                forget_from(run_id=run.pk, at=at)


def _strategy(text: str) -> Strategy:
    try:
        return Strategy(text)
    except ValueError as error:
        raise Invalid("multitask_strategy", f"Must be one of {', '.join(Strategy)}") from error


def _under_way(session: Session) -> list[Run]:
    """The session's unfinished runs, locked, after every other new run of the session has decided.

    What came from them ends with them.
    """
    Session.objects.select_for_update().get(pk=session.pk)
    runs = (
        Run.objects.unfinished()
        .filter(session=session, parent=None)
        .select_related("session")
        .order_by("created_at", "pk")
    )
    return list(runs.select_for_update(of=("self",)))


def _said_so_far(run: Run) -> str:
    """Return what the agent has said in a run, the answer it is in the middle of included."""
    answers = (
        Event.objects.filter(run=run, type=EventType.LLM_CALLED).order_by("seq").values_list("payload__text", flat=True)
    )
    live = LiveText.objects.filter(run=run, attempt=run.attempt).values_list("text", flat=True)
    return "\n\n".join(text for text in [*answers, *live] if text)
