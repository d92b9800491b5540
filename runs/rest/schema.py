"""The stream in the OpenAPI document: it is no view of REST framework, which the document is made from."""

from __future__ import annotations

from typing import Any

STREAM = {
    "get": {
        "operationId": "stream_run",
        "description": (
            "Follow a run live, as server-sent events: `connected`, then one `run.event` for each event (its id is `seq`) and "
            "`ping` in between. Goes on after `Last-Event-ID`, else after `cursor`; ends after the run's terminal event. "
            "204 if the client has that already."
        ),
        "tags": ["runs"],
        "parameters": [
            {"in": "path", "name": "run_id", "required": True, "schema": {"type": "string"}},
            {"in": "query", "name": "cursor", "schema": {"type": "integer"}},
            {"in": "header", "name": "Last-Event-ID", "schema": {"type": "integer"}},
        ],
        "responses": {
            "200": {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
            "204": {"description": "Nothing more"},
        },
    }
}


def describe_stream(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the stream's path, open to the same identities as the others."""
    other = result["paths"]["/api/runs/{run_id}/events"]["get"]
    result["paths"]["/api/runs/{run_id}/stream"] = {"get": {**STREAM["get"], "security": other["security"]}}
    return result
