"""The engine: takes a claimed run from where it stands to its end, or to where it has to wait.

A step with tool calls is two transactions:

1. `_record_answer`: the model's answer, its usage, and a claim on every effect it asks for;
2. `_finish_step`:   the results, the checkpoint, `step.completed`, and the next `step.started`.

A step without tool calls is one, which ends the run. What happens between transactions can be lost, never
repeated: a resumed run finds the recorded answer and doesn't buy it again, and finds every effect done, not
started, or in doubt (`runs.engine.effects`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from openintern.tenancy.models import Membership, Organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope
from runs import budgets
from runs.budgets import OverBudget
from runs.engine import batch, compaction, doom_loop, effects, limits, plan
from runs.engine.batch import Planned, Result
from runs.engine.outcomes import CallTools, Fail, Finish, Outcome, Wait
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import Answer, ModelError
from runs.log import StaleAttempt
from runs.models import Run
from runs.queue import tickets
from runs.queue.claims import Claim
from runs.queue.models import Ticket
from runs.stop import Stop, Stopped

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Hold:
    """How the worker's surroundings speak to the engine."""

    stop: Stop
    is_draining: Callable[[], bool]  # finish the step, then hand the run back


def execute(org: Organization, claim: Claim, hold: Hold) -> None:
    """Work on a claimed run inside its organisation's scope until it ends, waits, or is taken away.

    Nothing is raised for the ways a run can end. A lost database connection rises: the lease will expire and
    another worker goes on from the last commit.
    """
    try:
        work = _begin(org, claim, stop=hold.stop)
        if work is not None:
            _advance(work, hold)
    except StaleAttempt:
        logger.info("run went on without this worker", run=claim.run_id, attempt=claim.attempt)


def give_up(org: Organization, claim: Claim) -> None:
    """End a run whose work came upon a bug: its person hears of it, the details are in the operator's log."""
    run = Run.objects.select_related("session", "user", "project").get(pk=claim.run_id)
    work = Work(run=run, scope=_scope_of(org, run), stop=Stop())
    work.known_seq = run.last_seq
    if run.attempt <= claim.attempt and not run.is_final:
        fail(work, Fail("INTERNAL_ERROR", "The run failed with an internal error"))


def fail(work: Work, failure: Fail) -> None:
    """End the run without an answer."""
    error: dict[str, Any] = {"code": failure.code, "message": failure.message}
    if failure.details:
        error["details"] = failure.details
    with transaction.atomic():
        work.record(
            Draft(EventType.RUN_FAILED, {"error": error, "duration_ms": _duration_ms(work.run)}),
            status=Run.Status.FAILED,
            error=error,
            ended_at=timezone.now(),
            active_ms=work.active_ms(),
        )
        budgets.release(work.run)
        tickets.close(work.run)


@transaction.atomic
def _begin(org: Organization, claim: Claim, *, stop: Stop) -> Work | None:
    """Raise the fencing number, which shuts out every earlier attempt, and say that work begins or goes on.

    The run is read under the lock under which it is fenced, so nothing that an earlier attempt wrote is missed.
    Returns None for a run that has ended or is gone.
    """
    run = (
        Run.objects.select_for_update(of=("self",))
        .select_related("session", "user", "project")
        .filter(pk=claim.run_id)
        .first()
    )
    if run is None or run.is_final:
        return None
    work = Work(run=run, scope=_scope_of(org, run), stop=stop)
    work.load()
    if run.last_seq == 0 or run.step == 0:
        drafts = [Draft(EventType.RUN_STARTED, {"input": run.input, "config": _public_config(run)}, step=0)]
        changes: dict[str, Any] = {"started_at": timezone.now(), "step": 1}
        if run.config["max_steps"] > 0:
            drafts.append(Draft(EventType.STEP_STARTED, {"stepNumber": 1}, step=1))
    else:
        unsettled = run.effects.exclude(status="done").count()
        payload = {
            "checkpoint_step_id": f"step_{run.step - 1:04d}",
            "orphaned_tool_calls": unsettled,
            "losses": claim.losses,
        }
        drafts, changes = [Draft(EventType.RUN_RESUMED, payload)], {}
    work.record(
        *drafts, fence=Q(attempt__lt=claim.attempt), attempt=claim.attempt, status=Run.Status.RUNNING, **changes
    )
    if claim.attempt > 1:
        budgets.release(run)
    if claim.losses:
        _note_losses(run, claim)
    return work


def _note_losses(run: Run, claim: Claim) -> None:
    """Count the workers that died over this run since it last got on."""
    losses = claim.losses if run.step == claim.step_at_claim else 1
    Ticket.objects.filter(pk=claim.ticket_id).update(losses=losses, step_at_claim=run.step)


def _advance(work: Work, hold: Hold) -> None:
    """Work until the run ends, waits, has to stop, or is to be handed back."""
    if refusal := limits.before_work(work, losses=_losses(work)):
        fail(work, refusal)
        return
    try:
        _take_steps(work, hold)
    except Stopped:
        _obey(work)


def _take_steps(work: Work, hold: Hold) -> None:
    """Take step after step. The loop asks, and matches on what comes of it."""
    while not hold.is_draining():
        match _step(work):
            case Finish(answer):
                if _finish(work, answer):
                    return
            case Wait() as wait:
                _wait(work, wait)
                return
            case Fail() as failure:
                fail(work, failure)
                return
    tickets.release(work.run)


def _step(work: Work) -> Finish | Wait | Fail | None:
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
        return Fail(error.code, error.message, error.details)
    return CallTools(answer, is_new=True) if answer.tool_calls else Finish(answer)


def _use_tools(work: Work, answer: Answer, *, is_new: bool) -> Wait | None:
    """Carry out the calls of a step and finish it, or say for what it has to wait."""
    planned, refused = plan.sort_calls(answer.tool_calls, offered=work.run.config["tools"])
    warnings: list[Draft] = []
    if _is_loop(work, answer, planned, refused, is_new=is_new):
        planned, refused = [], doom_loop.refuse(answer.tool_calls)
        warnings.append(doom_loop.warning(answer.tool_calls))
    rounds, results = batch.rounds(planned), refused
    if is_new:
        _record_answer(work, answer, planned, refused, warnings=warnings)
    else:
        recovered = effects.recover(work.run, planned, context=work.context)
        if recovered.in_doubt:
            return _doubt(recovered.in_doubt[0])
        known = {event.payload["tool_call_id"] for event in work.step_events if event.type == EventType.TOOL_RESULT}
        results = [result for result in [*refused, *recovered.found] if result.call.id not in known]
        rounds = batch.rounds(recovered.todo)
    outcome = _carry_out(work, rounds, results, first_is_claimed=is_new)
    if isinstance(outcome, Wait):
        return outcome
    _finish_step(work, answer, outcome)
    return None


def _is_loop(work: Work, answer: Answer, planned: list[Planned], refused: list[Result], *, is_new: bool) -> bool:
    """Whether the step repeats those before it. For a recorded answer that was decided when it was recorded."""
    if not is_new:
        return doom_loop.was_noticed(work.step_events)
    return work.track.repeats(answer.tool_calls) and not doom_loop.are_invalid(planned, refused)


def _carry_out(
    work: Work, rounds: list[list[Planned]], known: list[Result], *, first_is_claimed: bool
) -> list[Result] | Wait:
    """Run the rounds; return the results that aren't stored yet, the `known` ones among them.

    Before and after a call that can't be repeated, what is known is stored: a crash then leaves one call in doubt, not several.
    """
    unstored = list(known)
    for number, calls in enumerate(rounds):
        neighbours = [*calls, *(rounds[number - 1] if number else [])]
        if any(effects.is_unsure(one) for one in neighbours) and not (number == 0 and first_is_claimed):
            _record_progress(work, unstored, starting=calls)
            unstored = []
        results = list(batch.carry_out(calls, context=work.context, stop=work.stop))
        unstored += [result for result in results if not result.in_doubt]
        if doubtful := [result.call.id for result in results if result.in_doubt]:
            _record_progress(work, unstored, starting=[])
            return _doubt(next(one for one in calls if one.call.id == doubtful[0]))
    return unstored


def _record_answer(
    work: Work, answer: Answer, planned: list[Planned], refused: list[Result], *, warnings: list[Draft]
) -> None:
    """Transaction 1: the answer is stored, and every effect claimed, before anything acts on it."""
    run = work.run
    drafts = [
        _llm_called(work, answer),
        *warnings,
        plan.batch_started(run, answer.tool_calls, planned),
        *plan.call_drafts(answer.tool_calls, planned, refused),
    ]
    with transaction.atomic():
        work.record(*drafts, **plan.usage_changes(run, answer))
        effects.claim(run, batch.rounds(planned))
        budgets.settle(run, answer.usage, held=work.held, at=timezone.now())
        work.live.clear()


def _record_progress(work: Work, results: list[Result], *, starting: list[Planned]) -> None:
    """Between two calls of which one can't be repeated: what is done is stored, what comes is marked as begun."""
    with transaction.atomic():
        work.record(*plan.result_drafts(results))
        effects.settle(work.run, results)
        effects.start(work.run, starting)


def _finish_step(work: Work, answer: Answer, results: list[Result]) -> None:
    """Transaction 2: the results, the checkpoint, and the beginning of the next step."""
    run = work.run
    stored = [not event.payload["isError"] for event in work.step_events if event.type == EventType.TOOL_RESULT]
    drafts = [
        *plan.result_drafts(results, order=answer.tool_calls),
        plan.batch_completed(run, [*stored, *(not result.error for result in results)], duration_ms=work.step_ms()),
        _step_completed(work, "tool_call"),
        *_next_step(run),
    ]
    with transaction.atomic():
        events = work.record(
            *drafts,
            step=run.step + 1,
            tool_call_count=run.tool_call_count + len(answer.tool_calls),
            active_ms=work.active_ms(),
        )
        effects.settle(run, results)
        work.checkpoint(events)


def _finish(work: Work, answer: Answer) -> bool:
    """Store the final answer and end the run; unless somebody spoke meanwhile: then go on, and return False."""
    run = work.run
    called = _llm_called(work, answer)
    with transaction.atomic():
        if work.has_news():
            drafts = [called, _step_completed(work, "continue"), *_next_step(run)]
            changes: dict[str, Any] = {"step": run.step + 1}
        else:
            ended = Draft(EventType.RUN_COMPLETED, {"output": answer.text, "duration_ms": _duration_ms(run)})
            drafts = [called, _step_completed(work, "final_answer"), ended]
            changes = {"status": Run.Status.COMPLETED, "output": answer.text, "ended_at": timezone.now()}
        events = work.record(*drafts, active_ms=work.active_ms(), **plan.usage_changes(run, answer), **changes)
        work.checkpoint(events)
        budgets.settle(run, answer.usage, held=work.held, at=timezone.now())
        work.live.clear()
        if run.is_final:
            tickets.close(run)
    return run.is_final


def _llm_called(work: Work, answer: Answer) -> Draft:
    return plan.llm_called(
        work.run,
        answer,
        duration_ms=work.answered_in_ms,
        heard_seq=work.heard_seq,
        estimated_tokens=work.estimated_tokens,
    )


def _step_completed(work: Work, result_type: str) -> Draft:
    return Draft(
        EventType.STEP_COMPLETED,
        {"stepNumber": work.run.step, "resultType": result_type, "duration_ms": work.step_ms()},
    )


def _next_step(run: Run) -> list[Draft]:
    """The start of the next step, unless the run may have no more."""
    number = run.step + 1
    return (
        [Draft(EventType.STEP_STARTED, {"stepNumber": number}, step=number)]
        if number <= run.config["max_steps"]
        else []
    )


def _doubt(one: Planned) -> Wait:
    return Wait(
        "effect_in_doubt", f"Nobody can tell whether {one.tool.name} took effect; a person has to decide", one.call.id
    )


def _wait(work: Work, wait: Wait) -> None:
    """Leave the run to a person: it holds no worker, and keeps its place in its session."""
    with transaction.atomic():
        payload = {"reason": wait.reason, "message": wait.message, "tool_call_id": wait.tool_call_id}
        work.record(Draft(EventType.RUN_WAITING, payload), status=Run.Status.WAITING, active_ms=work.active_ms())
        effects.doubt(work.run, wait.tool_call_id)
        tickets.park(work.run)


def _obey(work: Work) -> None:
    """Do what the reason for stopping asks for. After a cancel or a lost lease there is nothing left to write."""
    match work.stop.reason:
        case "timeout":
            seconds = work.run.config["timeout_ms"] / 1000
            fail(work, Fail("RUN_TIMEOUT", f"Run took longer than {seconds:g} s"))
        case "shutdown":
            tickets.release(work.run)


def _scope_of(org: Organization, run: Run) -> Scope:
    """Return in whose name the run acts. Somebody who has left keeps a name, but no rights (see `limits`)."""
    membership = Membership.objects.filter(organization=org, user=run.user, user__is_active=True).first()
    return Scope(
        org=org,
        user=run.user,
        role=Role(membership.role) if membership else Role.VIEWER,
        project=run.project,
        via="run",
    )


def _losses(work: Work) -> int:
    return (
        Ticket.objects.filter(run_id=work.run.pk, organization=work.scope.org).values_list("losses", flat=True).first()
        or 0
    )


def _public_config(run: Run) -> dict[str, Any]:
    model = run.config["model"]
    return {
        "provider": model["provider"],
        "model": model["model"],
        "max_steps": run.config["max_steps"],
        "timeout_ms": run.config["timeout_ms"],
    }


def _duration_ms(run: Run) -> int | None:
    return round((timezone.now() - run.started_at).total_seconds() * 1000) if run.started_at else None
