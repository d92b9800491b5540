"""The tool by which an agent reads what happened in a run."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from openintern.errors import OpenInternError
from runs.tools import results
from runs.tools.registry import ToolContext, ToolError, tool

_EVENT_BYTES: Final = 4_000  # of one event; a longer one is shortened and says so
_ALL_BYTES: Final = 30_000


@tool(risk="low", recovery="pure", hazard="none")
def export_trace(
    context: ToolContext,
    run_id: Annotated[str, "The run's id", Field(min_length=1, max_length=64)],
    limit: Annotated[int, "How many events at most", Field(ge=1, le=2000)] = 2000,
    after: Annotated[int, "Only events whose seq is greater", Field(ge=0)] = 0,
) -> dict[str, Any]:
    """Read the events of a run that you may see: its steps, model calls, tool calls and their results, in order.

    Where not all of them fit, `truncated` is true: call again with `after` set to the last seq given.
    """
    from runs.export import events_of  # noqa: PLC0415  what leads there imports the tools

    try:
        run, events = events_of(context.scope, run_id, limit=limit + 1, after=after)
    except OpenInternError as error:
        raise ToolError(error.message) from error
    given = _fitting(events[:limit])
    return {"run_id": run_id, "status": run.status, "events": given, "truncated": len(given) < len(events)}


def _fitting(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return as many of the first events as reach the model unshortened; at least one, if there is one."""
    room = _ALL_BYTES
    given: list[dict[str, Any]] = []
    for event in events:
        shown = results.bounded(event, limit=_EVENT_BYTES)
        room -= results.json_size(shown)
        if room < 0 and given:
            break
        given.append(shown)
    return given
