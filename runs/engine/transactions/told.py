"""The events that several transactions write: how a turn, a step and an answer are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runs.engine import plan
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm.types import Answer
from runs.models import Run


def opening(run: Run, first: Sequence[Draft], *, step: int) -> list[Draft]:
    """The first events of a turn and of its first step, if the agent may take any."""
    drafts = [replace(draft, step=step) for draft in first]
    agent_id = drafts[-1].agent_id if drafts else ""
    if run.config["max_steps"] > 0:
        drafts.append(Draft(EventType.STEP_STARTED, {"stepNumber": step}, step=step, agent_id=agent_id))
    return drafts


def next_step(work: Work) -> list[Draft]:
    """The start of the next step, unless the agent may have no more."""
    number = work.run.step + 1
    return [Draft(EventType.STEP_STARTED, {"stepNumber": number}, step=number)] if work.turn.allows(number) else []


def step_completed(work: Work, result_type: str) -> Draft:
    """The end of the current step; `result_type` says what it came to."""
    return Draft(
        EventType.STEP_COMPLETED,
        {"stepNumber": work.run.step, "resultType": result_type, "duration_ms": work.step_ms()},
    )


def llm_called(work: Work, answer: Answer) -> Draft:
    """The answer that the model has just given, whole."""
    return plan.llm_called(
        work.run,
        answer,
        duration_ms=work.answered_in_ms,
        heard_seq=work.heard_seq,
        estimated_tokens=work.estimated_tokens,
    )


def reminded(work: Work) -> list[Draft]:
    """What the model was reminded of, if the log doesn't say so already."""
    if work.recalled is None or work.recalled.ids == work.reminded_of:
        return []
    work.reminded_of = work.recalled.ids
    return [work.recalled.draft()]
