"""Addresses of single events, for what points at them."""

from __future__ import annotations

from openintern.pages import address


def event_url(run_id: str, seq: int) -> str:
    """Return where one event of a run is read: the first of the list, unfolded."""
    return address("trace", run_id, view="events", cursor=seq - 1) + f"#event-{seq}-body"
