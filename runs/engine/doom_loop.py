"""Noticing that a model gets nowhere: it repeats itself, or asks only for what can't be called.

All of it is a fold of the log, so a run that was resumed knows it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from runs.engine.batch import Planned, Result
from runs.engine.outcomes import Fail
from runs.events import Draft, EventType
from runs.llm.tool_calls import parse_arguments
from runs.llm.types import ToolCall
from runs.models import Event

DETECTED = "DOOM_LOOP_DETECTED"  # the code of the warning
REFUSED = "DOOM_LOOP"  # the code of the calls that aren't carried out, and of the run that ends for it

REPEATS = 3  # identical steps in a row are a loop
MOST_LOOPS = 3  # in one run: the last of them ends it
MOST_INVALID_STEPS = 3  # in a row

_INVALID = frozenset({"TOOL_NOT_FOUND", "INVALID_ARGUMENTS"})
_CHANGE_APPROACH = (
    f"Not carried out: you asked for exactly the same {REPEATS} times in a row, and it will bring nothing new. "
    "Change your approach: use what you know already, try another tool or other arguments, or say what is missing."
)


@dataclass
class Track:
    """What the finished steps of a run show of how it gets on."""

    signatures: list[str] = field(default_factory=list)  # of the latest steps, the last one last
    loops: int = 0
    invalid_steps: int = 0  # in a row, up to the last one

    def follow(self, events: Iterable[Event]) -> None:
        """Take in what was said in finished steps; the log in its order, each event once."""
        for _, step in groupby(events, key=lambda event: event.step):
            self._close(list(step))

    def repeats(self, calls: Sequence[ToolCall]) -> bool:
        """Whether a step with these calls is one too many of its kind."""
        return bool(calls) and self.signatures == [_signature((call.name, call.raw) for call in calls)] * (REPEATS - 1)

    def dead_end(self) -> Fail | None:
        """Say why the model shouldn't be asked again."""
        if self.invalid_steps >= MOST_INVALID_STEPS:
            return Fail(
                "INVALID_TOOL_CALLS",
                f"In {self.invalid_steps} steps in a row, the model only asked for tools that don't exist "
                "or gave arguments that can't be used",
            )
        if self.loops >= MOST_LOOPS:
            return Fail(REFUSED, f"The model went on repeating itself: {self.loops} loops were stopped in this run")
        return None

    def _close(self, events: Sequence[Event]) -> None:
        answers = [event.payload for event in events if event.type == EventType.LLM_CALLED]
        results = [event.payload for event in events if event.type == EventType.TOOL_RESULT]
        calls = [(call["name"], call["arguments"]) for answer in answers for call in answer.get("toolCalls", [])]
        self.signatures = [*self.signatures, _signature(calls) if calls else ""][1 - REPEATS :]
        self.loops += was_noticed(events)
        codes = {result["error"]["code"] if result["isError"] else "" for result in results}
        self.invalid_steps = self.invalid_steps + 1 if codes and codes <= _INVALID else 0


def was_noticed(step_events: Iterable[Event]) -> bool:
    """Whether the calls of a step were found to be a loop when its answer was stored."""
    return any(event.type == EventType.RUN_WARNING and event.payload["code"] == DETECTED for event in step_events)


def are_invalid(planned: Sequence[Planned], refused: Sequence[Result]) -> bool:
    """Whether none of a step's calls could ever be carried out. Such steps are counted apart from loops."""
    return not planned and all(result.code in _INVALID for result in refused)


def refuse(calls: Iterable[ToolCall]) -> list[Result]:
    """Answer every call of a loop, without carrying it out: a call without a reply is a broken conversation."""
    return [Result(call, error=_CHANGE_APPROACH, code=REFUSED) for call in calls]


def warning(calls: Sequence[ToolCall]) -> Draft:
    """The event that says that a loop was stopped."""
    names = ", ".join(sorted({call.name for call in calls}))
    message = f"The model asked for the same tool calls {REPEATS} times in a row ({names}); they were not carried out"
    return Draft(EventType.RUN_WARNING, {"code": DETECTED, "message": message})


def _signature(calls: Iterable[tuple[str, str]]) -> str:
    """Return a digest of names and arguments that depends neither on the calls' order nor on that of their keys."""
    canonical = sorted([name, _canonical(raw)] for name, raw in calls)
    return hashlib.sha256(json.dumps(canonical).encode()).hexdigest()


def _canonical(raw: str) -> str:
    arguments, error = parse_arguments(raw)
    return raw if error else json.dumps(arguments, sort_keys=True)
