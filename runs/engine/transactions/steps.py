"""The two transactions of a step with tool calls, and what lies between them."""

from __future__ import annotations

from django.db import transaction

from runs import budgets
from runs.engine import approval, batch, effects, model_call, plan
from runs.engine.batch import Planned, Result
from runs.engine.transactions import answers, told
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import Answer
from runs.queue import tickets


def record_answer(
    work: Work, answer: Answer, planned: list[Planned], refused: list[Result], *, warnings: list[Draft]
) -> None:
    """Transaction 1: the answer is stored, and every effect claimed, before anything acts on it."""
    run = work.run
    reminded = told.reminded(work)
    drafts = [
        *reminded,
        told.llm_called(work, answer),
        *warnings,
        plan.batch_started(run, answer.tool_calls, planned),
        *plan.call_drafts(answer.tool_calls, planned, refused),
    ]
    with transaction.atomic():
        work.record(*drafts, **plan.usage_changes(run, answer))
        answers.note_reminded(reminded)
        effects.claim(run, batch.rounds(planned), begin=not any(one.asks for one in planned))
        approval.ask(run, work.turn, planned)
        answers.settle(work, answer)
        work.live.clear()


def record_progress(work: Work, results: list[Result], *, starting: list[Planned]) -> None:
    """Between two calls of which one can't be repeated: what is done is stored, what comes is marked as begun."""
    with transaction.atomic():
        if any(result.may_be_delivered for result in results):
            work.catch_up()
            results = effects.undelivered(work.run, results)
        work.record(*plan.result_drafts(results))
        effects.settle(work.run, results)
        effects.start(work.run, starting)


def finish_step(work: Work, answer: Answer, results: list[Result]) -> None:
    """Transaction 2: the results, the checkpoint, and the beginning of the next step."""
    run = work.run
    stored = [not event.payload["isError"] for event in work.step_events if event.type == EventType.TOOL_RESULT]
    drafts = [
        *plan.result_drafts(results, order=answer.tool_calls),
        plan.batch_completed(run, [*stored, *(not result.error for result in results)], duration_ms=work.step_ms()),
        told.step_completed(work, "tool_call"),
        *told.next_step(work),
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
        if work.turn.allows(run.step):
            model_call.hold_ahead(work)


def hand_back(work: Work) -> None:
    """Let another worker go on with the run, for which nothing stays reserved meanwhile."""
    with transaction.atomic():
        if work.held is not None:
            work.lock()
            budgets.release(work.run)
        tickets.release(work.run)
