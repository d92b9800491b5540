"""Leaving a run to whoever it waits for, and hearing what they say."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from runs.ending import end_overdue
from runs.engine import approval, effects, plan
from runs.engine.batch import Planned, Result
from runs.engine.outcomes import Wait
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import ToolCall
from runs.models import Run
from runs.queue import tickets


def wait_for_answers(work: Work, results: list[Result], *, order: Sequence[ToolCall]) -> bool:
    """Store what is known of the step's calls, and leave the run to whoever answers the others (`runs.delivery`).

    What was delivered meanwhile stands. Nobody is waited for longer than was said: then a worker takes the run up and
    the call has failed. Returns False, with everything stored, if there is nothing to wait for (any more).
    """
    run = work.run
    with transaction.atomic():
        work.catch_up()
        results = effects.undelivered(run, results)
        effects.settle(run, results)
        drafts = plan.result_drafts(results, order=order)
        overdue = effects.expire(run)
        end_overdue(work.scope, overdue, at=timezone.now())
        drafts += [plan.overdue_draft(row) for row in overdue]
        waits_for = effects.awaited(run)
        if waits_for:
            waiting = plan.waiting_for(waits_for)
            work.record(*drafts, waiting, status=Run.Status.WAITING, active_ms=work.active_ms())
            tickets.park(run, until=waits_for[0].awaits_until)
        elif drafts:
            work.record(*drafts)
    return bool(waits_for)


def wait_for_settlement(work: Work, wait: Wait) -> None:
    """Leave the run to a person who finds out what a call has done: it holds no worker, and keeps its place."""
    with transaction.atomic():
        _record_waiting(work, wait)
        effects.doubt(work.run, wait.tool_call_id)
        tickets.park(work.run)


def wait_for_approval(work: Work, wait: Wait) -> None:
    """Leave the run to a person who decides, at most until the first question expires: then a worker takes it up."""
    with transaction.atomic():
        _record_waiting(work, wait)
        tickets.park(work.run, until=approval.next_expiry(work.run))


def hear_decisions(work: Work, planned: list[Planned]) -> approval.Judged:
    """On waking: close the questions whose time is over, and begin what may be begun."""
    with transaction.atomic():
        work.lock()
        if expired := approval.expire(work.run):
            work.record(*expired)
        judged = approval.judge(work.run, work.turn, planned)
        if not judged.pending:
            effects.start_planned(work.run, judged.go)
    return judged


def _record_waiting(work: Work, wait: Wait) -> None:
    payload = {"reason": wait.reason, "message": wait.message, "tool_call_id": wait.tool_call_id}
    work.record(Draft(EventType.RUN_WAITING, payload), status=Run.Status.WAITING, active_ms=work.active_ms())
