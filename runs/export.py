"""Reading a run's events as they are published: for the API, the trace, files and agents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from openintern.errors import Invalid
from openintern.tenancy.scope import Scope
from runs.events import EventType
from runs.lifecycle import find_run
from runs.models import Event, LiveText, Run

_BATCH = 500


def events_of(
    scope: Scope, run_id: str, *, limit: int, after: int = 0, type: str = ""
) -> tuple[Run, list[dict[str, Any]]]:
    """Return a run in sight and up to `limit` of its events after `after`, as envelopes, in order.

    Raises NOT_FOUND for a run out of sight, VALIDATION_ERROR for an unknown type.
    """
    run = find_run(scope, run_id)
    return run, [event.envelope(run) for event in _events(run, after=after, type=type)[:limit]]


def all_events(run: Run, *, type: str = "") -> Iterator[dict[str, Any]]:
    """Yield every event of a run, in order, without holding them all. Inside its organisation's scope."""
    after = 0
    while batch := list(_events(run, after=after, type=type)[:_BATCH]):
        yield from (event.envelope(run) for event in batch)
        after = batch[-1].seq


def written(events: Iterable[dict[str, Any]], *, form: str) -> Iterator[str]:
    """Yield the text of an export, piece by piece: "jsonl" has an event a line, "json" is one array."""
    if form == "jsonl":
        yield from (json.dumps(event, ensure_ascii=False) + "\n" for event in events)
        return
    yield "["
    for number, event in enumerate(events):
        yield ("," if number else "") + "\n" + json.dumps(event, ensure_ascii=False)
    yield "\n]\n"


def live_token(run: Run) -> dict[str, Any] | None:
    """Return the running step's text so far as an `llm.token` envelope without `seq`, or None if there is none."""
    live = LiveText.objects.filter(run=run, attempt=run.attempt).first()
    if live is None:
        return None
    event = Event(
        run=run,
        seq=0,
        type=EventType.LLM_TOKEN,
        step=live.step,
        attempt=live.attempt,
        agent_id=live.agent_id or run.agent_id,
        span_id=run.root_span_id,
    )
    event.payload = {"token": live.text, "tokenIndex": 0, "offset": 0, "stepNumber": live.step}
    event.at = run.started_at or run.created_at
    return {**event.envelope(run), "seq": None}


def _events(run: Run, *, after: int, type: str) -> Any:
    if type and type not in set(EventType):
        raise Invalid("type", "Not an event type")
    events = Event.objects.filter(run=run, seq__gt=after).order_by("seq")
    return events.filter(type=type) if type else events
