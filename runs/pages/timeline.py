"""The waterfall of a run: its events folded into steps, model calls and tool calls with a place in time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from runs.events import TERMINAL, EventType
from runs.models import Event
from runs.pages.wording import about_call, gist, kind_of_tool

NARROWEST = 0.4  # per cent of the drawing: what took no time is seen all the same
MOST_TICKS = 6
_CLOCK_FIGURES = (15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000)


@dataclass
class Span:
    """Something that took time. `ended_at` is None while it goes on."""

    id: str
    kind: str  # step, model or tool
    name: str
    began_at: datetime
    ended_at: datetime | None = None
    status: str = "running"  # running, completed, failed, blocked, cancelled
    about: str = ""
    icon: str = ""
    tokens: int | None = None
    cost: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    sent: Any = None
    received: Any = None
    text: str = ""
    left: str = "0%"
    width: str = "0%"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds it took; None while it goes on."""
        return None if self.ended_at is None else (self.ended_at - self.began_at).total_seconds() * 1000

    @property
    def costs_something(self) -> bool:
        return bool(self.cost) and float(self.cost or 0) > 0

    @property
    def css(self) -> str:
        return "live" if self.is_live else "failed" if self.status in {"failed", "blocked"} else self.kind


@dataclass
class Happening:
    """Something that took no time but that a reader must not miss: a crash survived, a retry, a warning, the end."""

    id: str
    at: datetime
    kind: str
    icon: str
    payload: dict[str, Any]
    attempt: int


@dataclass
class Step(Span):
    """One round of the agent's loop, and what happened in it in order."""

    number: int = 0
    parts: list[Span | Happening] = field(default_factory=list)


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    milliseconds: float
    place: str


@dataclass
class Timeline:
    """Steps, and what happened before, between and after them, in order."""

    began_at: datetime
    ended_at: datetime
    rows: list[Step | Happening]
    model_calls: int = 0
    tool_calls: int = 0
    goes_on_after: int | None = None  # the last event drawn, where there are more

    @property
    def length_ms(self) -> float:
        return (self.ended_at - self.began_at).total_seconds() * 1000

    @property
    def ticks(self) -> list[Tick]:
        """Marks for the axis at round figures, the first at 0."""
        size = _round_up(self.length_ms / MOST_TICKS)
        return [
            Tick(number * size, f"{number * size / self.length_ms:.3%}")
            for number in range(int(self.length_ms // size) + 1)
        ]


_HAPPENINGS = {
    EventType.RUN_RESUMED: "resumed",
    EventType.RUN_WAITING: "waiting",
    EventType.RUN_WARNING: "waiting",
    EventType.RUN_COMPACTED: "trace",
    EventType.RUN_TAINTED: "waiting",
    EventType.RUN_REPINNED: "resumed",
    EventType.STEP_RETRIED: "retry",
    EventType.TOOL_SETTLED: "chat",
    EventType.TOOL_REQUIRES_APPROVAL: "waiting",
    EventType.TOOL_APPROVED: "chat",
    EventType.TOOL_REJECTED: "chat",
    EventType.USER_INJECTED: "chat",
    EventType.RUN_FAILED: "failed",
    EventType.RUN_CANCELLED: "cancelled",
    EventType.MEMBER_STARTED: "person",
    EventType.MEMBER_COMPLETED: "completed",
    EventType.MEMBER_FAILED: "failed",
    EventType.MESSAGE_TASK: "chat",
    EventType.MESSAGE_PROPOSAL: "chat",
    EventType.MESSAGE_EVIDENCE: "chat",
    EventType.MESSAGE_STATUS: "chat",
    EventType.MESSAGE_DECISION: "chat",
}

_FACTS_OF_ANSWER = ("promptTokens", "cachedTokens", "completionTokens", "finishReason")
_FACTS_OF_CALL = ("rule", "risk_level", "recovery")


def build(events: Iterable[Event], *, began_at: datetime, now: datetime) -> Timeline:
    """Fold `events`, in their order, into a timeline. `now` is where what still goes on is drawn to."""
    fold = _Fold(began_at)
    for event in events:
        fold.take(event)
    ended_at = fold.ended_at or now
    timeline = Timeline(
        fold.first_at,
        max(ended_at, fold.first_at + timedelta(milliseconds=1)),
        fold.rows,
        fold.model_calls,
        len(fold.tools),
    )
    for span in fold.spans:
        place(span, timeline)
    return timeline


class _Fold:
    """What has been read so far."""

    def __init__(self, began_at: datetime) -> None:
        self.first_at = began_at
        self.ended_at: datetime | None = None
        self.rows: list[Step | Happening] = []
        self.spans: list[Span] = []
        self.tools: dict[str, Span] = {}
        self.model_calls = 0
        self.step: Step | None = None
        self.asked: Span | None = None  # the model call that has no answer yet

    def take(self, event: Event) -> None:
        if event.type in _HAPPENINGS:
            self._happen(event)
        match event.type:
            case EventType.STEP_STARTED:
                self._begin_step(event)
            case EventType.STEP_RETRIED | EventType.RUN_RESUMED:
                self._ask_again(event)
            case EventType.LLM_CALLED:
                self._answer(event)
            case EventType.TOOL_CALLED | EventType.TOOL_BLOCKED:
                self._call(event)
            case EventType.TOOL_RESULT:
                self._return(event)
            case EventType.STEP_COMPLETED:
                self._finish_step(event)
        if event.type in TERMINAL:
            self._end(event)

    def _add(self, span: Span) -> None:
        self.spans.append(span)
        if self.step is not None:
            self.step.parts.append(span)

    def _happen(self, event: Event) -> None:
        happening = Happening(
            f"e{event.seq}", event.at, event.type, _HAPPENINGS[EventType(event.type)], event.payload, event.attempt
        )
        if self.step is None or event.type in TERMINAL:
            self.rows.append(happening)
        else:
            self.step.parts.append(happening)

    def _begin_step(self, event: Event) -> None:
        number = event.payload["stepNumber"]
        self.step = Step(f"e{event.seq}", "step", str(number), event.at, number=number)
        self.rows.append(self.step)
        self.spans.append(self.step)
        self._ask(event)

    def _ask(self, event: Event) -> Span:
        self.asked = Span(f"m{event.seq}", "model", "", event.at, icon="model")
        self._add(self.asked)
        return self.asked

    def _ask_again(self, event: Event) -> None:
        """After a retry the model is asked anew; after a crash too, unless its answer was stored already."""
        if self.asked is not None:
            self._close(self.asked, event.at, "failed")
            self._ask(event)

    def _answer(self, event: Event) -> None:
        told, calls = event.payload, event.payload.get("toolCalls", [])
        span = self.asked or self._ask(event)
        self.asked = None
        self.model_calls += 1
        began_at = event.at - timedelta(milliseconds=told.get("duration_ms") or 0)
        span.began_at = max(began_at, self.step.began_at) if self.step else began_at
        span.name, span.text = told.get("model", ""), told.get("text") or ""
        span.tokens, span.cost, span.sent = told.get("totalTokens"), told.get("cost"), calls or None
        span.about = gist(span.text) or ", ".join(call["name"] for call in calls)
        span.facts = {name: told[name] for name in _FACTS_OF_ANSWER if told.get(name) not in (None, "")}
        self._close(span, event.at, "completed")

    def _call(self, event: Event) -> None:
        told = event.payload
        name, args = told["toolName"], told.get("args")
        span = Span(f"e{event.seq}", "tool", name, event.at, icon=kind_of_tool(name), about=about_call(args), sent=args)
        span.facts = {key: told[key] for key in _FACTS_OF_CALL if told.get(key)}
        if event.type == EventType.TOOL_BLOCKED:
            self._close(span, event.at, "blocked")
            span.about = told.get("reason", "")
        self.tools[told.get("tool_call_id", span.id)] = span
        self._add(span)

    def _return(self, event: Event) -> None:
        told = event.payload
        span = self.tools.get(told.get("tool_call_id", ""))
        if span is None:
            return
        took = told.get("duration_ms")
        ended_at = event.at if took is None else span.began_at + timedelta(milliseconds=took)
        if span.status != "blocked":
            self._close(span, ended_at, "failed" if told.get("isError") else "completed")
        span.received = told.get("error") if told.get("isError") else told.get("result")

    def _finish_step(self, event: Event) -> None:
        if self.step is not None:
            self.step.facts["resultType"] = event.payload.get("resultType")
            self._close(self.step, event.at, "completed")
            self.step = None

    def _end(self, event: Event) -> None:
        self.ended_at = event.at
        status = "failed" if event.type == EventType.RUN_FAILED else "cancelled"
        for span in self.spans:
            if span.is_live:
                self._close(span, event.at, status)

    def _close(self, span: Span, at: datetime, status: str) -> None:
        span.ended_at, span.status = max(at, span.began_at), status


def place(span: Span, timeline: Timeline) -> None:
    """Give the span its place in the drawing, in per cent, wide enough to be seen."""
    left = min(_share(span.began_at, timeline), 100 - NARROWEST)
    width = max(_share(span.ended_at or timeline.ended_at, timeline) - left, NARROWEST)
    span.left, span.width = f"{left:.2f}%", f"{width:.2f}%"


def _share(at: datetime, timeline: Timeline) -> float:
    """Return how far along the timeline a moment is, from 0 to 100."""
    return min(max((at - timeline.began_at) / (timeline.ended_at - timeline.began_at) * 100, 0), 100)


def _round_up(milliseconds: float) -> float:
    """Return the next figure people count time in: above ten seconds a clock's, else 1, 2 or 5 times a power of ten."""
    if 10_000 < milliseconds <= _CLOCK_FIGURES[-1]:
        return next(size for size in _CLOCK_FIGURES if size >= milliseconds)
    power: float = 10.0 ** math.floor(math.log10(milliseconds))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= milliseconds)
