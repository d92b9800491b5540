"""The stream of progress in the OpenAPI document: it is no view of REST framework, which the document is made from."""

from __future__ import annotations

from typing import Any

_ONE = "/api/mineru/ingest-batch/{pdf_job_id}"
PROGRESS = {
    "operationId": "stream_pdf_batch",
    "description": "Follow a batch live, as server-sent events: `progress` for each file and each change, then `done`; `ping` in between.",
    "tags": ["mineru"],
    "parameters": [{"in": "path", "name": "pdf_job_id", "required": True, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
}


def describe_progress(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the path, open to the same identities as the batch."""
    result["paths"][f"{_ONE}/progress"] = {"get": {**PROGRESS, "security": result["paths"][_ONE]["get"]["security"]}}
    return result
