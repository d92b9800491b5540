"""The engine: takes a claimed run from where it stands to its end, or to where it has to wait.

The loop asks, and matches on what comes of it; what is written when is in `runs.engine.transactions`. A step with
tool calls is two of them (`record_answer`, `finish_step`), a step without is one, which ends the run (`finish`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from openintern.tenancy.models import Organization
from runs.budgets import OverBudget
from runs.engine import (
    approval,
    batch,
    compaction,
    doom_loop,
    effects,
    gathering,
    limits,
    plan,
    spans,
    transactions,
)
from runs.engine.batch import Planned, Result
from runs.engine.outcomes import CallTools, Fail, Finish, Outcome, Parked, Wait
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import Answer, ModelError
from runs.log import StaleAttempt
from runs.models import Run
from runs.queue import tickets
from runs.queue.claims import Claim
from runs.stop import Stop, Stopped

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Hold:
    """How the worker's surroundings speak to the engine."""

    stop: Stop
    is_draining: Callable[[], bool]  # finish the step, then hand the run back


@dataclass(frozen=True)
class Todo:
    """What is left of a step: calls that have to run, and results that are known without.

    `is_awaiting`: others of its calls have been answered, or will be, by somebody else.
    """

    calls: list[Planned]
    known: list[Result]
    is_awaiting: bool = False

    def may_wait(self, results: list[Result]) -> bool:
        """Whether there may be answers to wait for, now that the calls came to `results`."""
        deferring = any(one.tool.answers_later for one in self.calls)
        return self.is_awaiting or deferring or any(result.may_be_delivered for result in results)


def execute(org: Organization, claim: Claim, hold: Hold) -> None:
    """Work on a claimed run inside its organisation's scope until it ends, waits, or is taken away.

    Nothing is raised for the ways a run can end. A lost database connection rises: the lease will expire and
    another worker goes on from the last commit.
    """
    try:
        losses = transactions.count_losses(claim)
        work = transactions.begin(org, claim, stop=hold.stop, losses=losses)
        if work is not None:
            with spans.attempt(org, work.run) as span:
                _advance(work, hold, losses=losses)
                _tell_end(span, work.run)
    except StaleAttempt:
        logger.info("run went on without this worker", run=claim.run_id, attempt=claim.attempt)


def _tell_end(span: spans.Span, run: Run) -> None:
    """Say in the trace how the attempt left the run."""
    span.tell({"openintern.status": run.status})
    if run.status == Run.Status.FAILED:
        span.failed(str((run.error or {}).get("code", "INTERNAL_ERROR")))


def give_up(org: Organization, claim: Claim) -> None:
    """End a run whose work came upon a bug: its person hears of it, the details are in the operator's log."""
    run = Run.objects.select_related("session", "user", "project").get(pk=claim.run_id)
    work = Work(run=run, scope=transactions.scope_of(org, run), stop=Stop())
    work.known_seq = run.last_seq
    if run.attempt <= claim.attempt and not run.is_final:
        message = "The run failed with an internal error"
        transactions.fail(work, Fail("INTERNAL_ERROR", message, ends_run=True, is_blind=True))


def _advance(work: Work, hold: Hold, *, losses: int) -> None:
    """Work, turn after turn, until the run ends, waits, has to stop, or is to be handed back."""
    going: Work | None = work
    if refusal := limits.before_work(work, losses=losses):
        going = transactions.fail(work, refusal) if refusal.ends_run else transactions.end_lost_turn(work, refusal)
    try:
        if going is not None:
            _take_steps(going, hold)
    except Stopped:
        _obey(work)


def _take_steps(work: Work, hold: Hold) -> None:
    """Take step after step. The loop asks, and matches on what comes of it."""
    going: Work | None = work
    while going and not hold.is_draining():
        if going.turn.is_vacant:
            going = gathering.gather(going)
            continue
        match _step(going):
            case Finish(answer):
                going = transactions.finish(going, answer)
            case Wait(reason=approval.WAITING_FOR) as wait:
                transactions.wait_for_approval(going, wait)
                return
            case Wait() as wait:
                transactions.wait_for_settlement(going, wait)
                return
            case Parked():
                return
            case Fail() as failure:
                going = transactions.fail(going, failure)
    if going:
        transactions.hand_back(going)


def _step(work: Work) -> Finish | Wait | Parked | Fail | None:
    """Bring the current step to its end; None if the run goes on with the next."""
    match _next(work):
        case CallTools(answer, is_new):
            return _use_tools(work, answer, is_new=is_new)
        case outcome:
            return outcome


def _next(work: Work) -> Outcome:
    """Return the recorded answer of the current step, or ask the model for one."""
    if recorded := work.answer_event():
        return CallTools(plan.answer_of(recorded), is_new=False)
    if over := limits.before_model_call(work):
        return over
    try:
        answer = compaction.ask(work)
    except ModelError as error:
        return Fail(error.code, error.message)
    except OverBudget as error:
        return Fail(error.code, error.message, error.details, ends_run=True)
    return CallTools(answer, is_new=True) if answer.tool_calls else Finish(answer)


def _use_tools(work: Work, answer: Answer, *, is_new: bool) -> Wait | Parked | None:
    """Carry out the calls of a step and finish it, or say for what it has to wait."""
    planned, refused = plan.sort_calls(
        answer.tool_calls, offered=work.turn.config["tools"], mandate=work.mandate, is_tainted=work.is_tainted
    )
    warnings: list[Draft] = []
    if _is_loop(work, answer, planned, refused, is_new=is_new):
        planned, refused = [], doom_loop.refuse(answer.tool_calls)
        warnings.append(doom_loop.warning(answer.tool_calls))
    if is_new:
        planned = approval.with_grants(work.run, work.turn, planned)
        transactions.record_answer(work, answer, planned, refused, warnings=warnings)
        todo = approval.wait_for(planned) if any(one.asks for one in planned) else Todo(planned, refused)
    else:
        todo = _take_up(work, planned, refused)
    if isinstance(todo, Wait):
        return todo
    outcome = _carry_out(work, todo, first_is_claimed=is_new)
    if isinstance(outcome, Wait):
        return outcome
    if todo.may_wait(outcome):
        if transactions.wait_for_answers(work, outcome, order=answer.tool_calls):
            return Parked()
        outcome = []
    transactions.finish_step(work, answer, outcome)
    return None


def _take_up(work: Work, planned: list[Planned], refused: list[Result]) -> Todo | Wait:
    """Return what a step that was begun before still has to do, or what a person has to say first."""
    if any(one.asks for one in planned) or approval.was_asked(work.run):
        judged = transactions.hear_decisions(work, planned)
        if judged.pending:
            return approval.wait_for(judged.pending)
        planned, refused = judged.go, [*refused, *judged.refused]
    recovered = effects.recover(work.run, planned, context=work.context)
    if recovered.in_doubt:
        return _doubt(recovered.in_doubt[0])
    stored = {event.payload["tool_call_id"] for event in work.step_events if event.type == EventType.TOOL_RESULT}
    answered = stored | recovered.awaited
    known = [result for result in [*refused, *recovered.found] if result.call.id not in answered]
    return Todo(recovered.todo, known, is_awaiting=bool(recovered.awaited))


def _is_loop(work: Work, answer: Answer, planned: list[Planned], refused: list[Result], *, is_new: bool) -> bool:
    """Whether the step repeats those before it. For a recorded answer that was decided when it was recorded."""
    if not is_new:
        return doom_loop.was_noticed(work.step_events)
    return work.track.repeats(answer.tool_calls) and not doom_loop.are_invalid(planned, refused)


def _carry_out(work: Work, todo: Todo, *, first_is_claimed: bool) -> list[Result] | Wait:
    """Run the calls; return the results that aren't stored yet, the known ones among them.

    Before and after a call that can't be repeated, what is known is stored: a crash then leaves one call in doubt, not several.
    """
    rounds, unstored = batch.rounds(todo.calls), list(todo.known)
    for number, calls in enumerate(rounds):
        neighbours = [*calls, *(rounds[number - 1] if number else [])]
        if any(effects.is_unsure(one) for one in neighbours) and not (number == 0 and first_is_claimed):
            transactions.record_progress(work, unstored, starting=calls)
            unstored = []
        results = list(batch.carry_out(calls, context=work.context, stop=work.stop))
        unstored += [result for result in results if not result.in_doubt]
        if doubtful := [result.call.id for result in results if result.in_doubt]:
            transactions.record_progress(work, unstored, starting=[])
            return _doubt(next(one for one in calls if one.call.id == doubtful[0]))
    return unstored


def _doubt(one: Planned) -> Wait:
    return Wait(
        "effect_in_doubt", f"Nobody can tell whether {one.tool.name} took effect; a person has to decide", one.call.id
    )


def _obey(work: Work) -> None:
    """Do what the reason for stopping asks for. After a cancel or a lost lease there is nothing left to write."""
    match work.stop.reason:
        case "timeout":
            seconds = work.run.config["timeout_ms"] / 1000
            transactions.fail(work, Fail("RUN_TIMEOUT", f"Run took longer than {seconds:g} s", ends_run=True))
        case "shutdown":
            tickets.release(work.run)
