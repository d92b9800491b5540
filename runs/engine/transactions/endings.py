"""Ending a turn, and with the last one the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from runs import budgets
from runs.ending import end_children, end_with
from runs.engine import limits, model_call, plan
from runs.engine.outcomes import Fail
from runs.engine.remembering import keep_what_stays, remember_run
from runs.engine.transactions import answers, told
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import Answer
from runs.models import Approval, Run
from runs.programs import Begin, Break, End, Ended, Move
from runs.queue import tickets

_UNANSWERED = Draft(
    EventType.RUN_WARNING,
    {
        "code": "MESSAGE_UNANSWERED",
        "message": "A message came during the last answer that the run's limits allow; nothing answers it",
    },
)


def finish(work: Work, answer: Answer) -> Work | None:
    """Store the final answer of a turn, and with the last turn's end the run; return what there is to go on with.

    If somebody spoke meanwhile, that is the same turn. Where it may ask no more, its answer stands, and if no other
    turn follows, a warning says that the message has none.
    """
    run = work.run
    reminded = told.reminded(work)
    called = [*reminded, told.llm_called(work, answer)]
    usage = plan.usage_changes(run, answer)
    with transaction.atomic():
        has_news = work.has_news()
        if has_news and limits.allow_another_step(work, answer.usage):
            move = None
            drafts = [*called, told.step_completed(work, "continue"), *told.next_step(work)]
            changes: dict[str, Any] = {"step": run.step + 1}
        else:
            move = work.program.after(run, work.turn, Ended(at=timezone.now(), text=answer.text, **usage))
            following, changes = _following(work, move)
            unanswered = [_UNANSWERED] if has_news and not isinstance(move, Begin) else []
            drafts = [*called, *unanswered, told.step_completed(work, "final_answer"), *following]
        events = work.record(*drafts, active_ms=work.active_ms(), **usage, **changes)
        work.checkpoint(events)
        answers.note_reminded(reminded)
        answers.settle(work, answer)
        work.live.clear()
        return _go_on(work, move) if move else work


def fail(work: Work, failure: Fail) -> Work | None:
    """End a turn without an answer, and with it the run, unless its program has another turn; return the work on that."""
    run = work.run
    with transaction.atomic():
        work.lock()
        usage = {name: getattr(run, name) for name in ("prompt_tokens", "completion_tokens", "cost")}
        ended = Ended(at=timezone.now(), failure=failure, **usage)
        move = _broken_off(work, ended, failure) if failure.ends_run else work.program.after(run, work.turn, ended)
        drafts, changes = _following(work, move)
        work.record(*drafts, active_ms=work.active_ms(), **changes)
        budgets.release(run)
        work.held = None
        work.live.clear()
        return _go_on(work, move)


def end_lost_turn(work: Work, failure: Fail) -> Work | None:
    """End the turn of an agent that takes its workers down; return the work on another's, if its program has one.

    The turn's own log, which isn't loaded, may be what kills them: only whose turn it is is read. Should that be it, the
    next worker finds one loss more, and gives up the run. What the turn had begun is called off; the calls that it died
    over keep the state of which nobody knows more.
    """
    run = work.run
    with transaction.atomic():
        work.lock()
        work.turn = work.program.turn(run)
        following = fail(work, replace(failure, ends_run=work.turn.is_vacant))
        if following is not None:
            Approval.objects.withdraw(run)
            end_children(work.scope, run, at=timezone.now())
        return following


def _broken_off(work: Work, ended: Ended, failure: Fail) -> Break:
    """Return the end of the run, in whoever's turn it is."""
    return Break(closing=() if failure.is_blind else work.program.cut_short(work.run, ended), failure=failure)


def move_on(work: Work, move: Move) -> Work | None:
    """Go on where it was nobody's turn, in the caller's transaction, which has locked the run."""
    drafts, changes = _following(work, move)
    work.record(*drafts, active_ms=work.active_ms(), **changes)
    return _go_on(work, move)


def _following(work: Work, move: Move) -> tuple[list[Draft], dict[str, Any]]:
    """Return the events with which a turn is closed and what comes next begins, and how the run changes with them."""
    run, closing = work.run, list(move.closing)
    match move:
        case Begin(opening=opening):
            has_begun = work.turn.allows(run.step) and not work.turn.is_vacant  # one that it wasn't allowed hasn't
            step = run.step + has_begun
            return [*closing, *told.opening(run, opening, step=step)], {"step": step}
        case End(output=output):
            ended = Draft(EventType.RUN_COMPLETED, {"output": output, "duration_ms": _duration_ms(run)})
            changes = {"status": Run.Status.COMPLETED, "output": output, "ended_at": timezone.now()}
            return [*closing, ended], changes
        case Break(failure=failure):
            error: dict[str, Any] = {"code": failure.code, "message": failure.message}
            if failure.details:
                error["details"] = failure.details
            ended = Draft(EventType.RUN_FAILED, {"error": error, "duration_ms": _duration_ms(run)})
            return [*closing, ended], {"status": Run.Status.FAILED, "error": error, "ended_at": timezone.now()}


def _go_on(work: Work, move: Move) -> Work | None:
    """Take up the turn that has begun, or clear away what a run that has ended doesn't need any more."""
    match move:
        case Begin():
            following = work.next_turn()
            model_call.hold_ahead(following)
            return following
        case End():
            remember_run(work.run)
        case Break():
            Approval.objects.withdraw(work.run)
    keep_what_stays(work.run)
    end_with(work.scope, work.run, at=timezone.now())
    tickets.close(work.run)
    return None


def _duration_ms(run: Run) -> int | None:
    return round((timezone.now() - run.started_at).total_seconds() * 1000) if run.started_at else None
