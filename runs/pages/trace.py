"""A run's events for the trace page, in bounds: a run of 100,000 events is read page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openintern.tenancy.scope import Scope
from runs import export
from runs.events import EventType
from runs.models import Event, Run
from runs.pages.lanes import names_of
from runs.pages.timeline import Timeline, build
from runs.pages.wording import about_call, gist

EVENTS = 200
TIMELINE_EVENTS = 600

_BAD = {
    EventType.RUN_FAILED,
    EventType.RUN_CANCELLED,
    EventType.TOOL_BLOCKED,
    EventType.STEP_RETRIED,
    EventType.MEMBER_FAILED,
}
_TELLING = (
    "message",
    "output",
    "input",
    "text",
    "decision",
    "task",
    "reason",
    "resultType",
    "model",
    "cancelled_by",
    "checkpoint_step_id",
    "strategy",
    "stepNumber",
)


@dataclass(frozen=True)
class EventRow:
    """One event in the list: its envelope, and what can be said of it in one line."""

    seq: int
    at: datetime
    type: str
    about: str
    who: str  # by name; "" in a run of one agent
    css: str
    envelope: dict[str, Any]


def timeline_of(run: Run, *, after: int, now: datetime) -> Timeline:
    """Return the waterfall of the run's next events after `after`."""
    events = list(Event.objects.filter(run=run, seq__gt=after).order_by("seq")[: TIMELINE_EVENTS + 1])
    shown, goes_on = events[:TIMELINE_EVENTS], len(events) > TIMELINE_EVENTS
    began_at = shown[0].at if shown else run.created_at
    timeline = build(shown, began_at=began_at, now=shown[-1].at if goes_on else now)
    timeline.goes_on_after = shown[-1].seq if goes_on else None
    return timeline


def event_rows(scope: Scope, run_id: str, *, after: int, type: str) -> list[EventRow]:
    """Return up to `EVENTS` events after `after`. Raises VALIDATION_ERROR for a type that doesn't exist."""
    run, envelopes = export.events_of(scope, run_id, limit=EVENTS, after=after, type=type)
    names = names_of(run)
    return [_row(envelope, names) for envelope in envelopes]


def _row(envelope: dict[str, Any], names: dict[str, str]) -> EventRow:
    kind, payload = envelope["type"], envelope["payload"]
    return EventRow(
        seq=envelope["seq"],
        at=datetime.fromisoformat(envelope["ts"]),
        type=kind,
        about=_about(payload),
        who=names.get(envelope["agent_id"], ""),
        css="bad" if kind in _BAD or payload.get("isError") else kind.split(".")[0],
        envelope=envelope,
    )


def _about(payload: dict[str, Any]) -> str:
    """Return what an event says, in one line."""
    if "toolName" in payload:
        told = payload.get("error") or payload.get("args")
        return f"{payload['toolName']}  {told['message'] if payload.get('isError') and isinstance(told, dict) else about_call(told)}"
    if error := payload.get("error"):
        return gist(str(error.get("message", "")))
    if "success_count" in payload:
        return f"{payload['success_count']}/{payload['tool_count']}"
    return gist(str(next((payload[name] for name in _TELLING if payload.get(name)), "")))
