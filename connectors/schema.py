"""The streams of progress in the OpenAPI document: they are no views of REST framework, which the document is made from."""

from __future__ import annotations

from typing import Any, Final

#: The path of what is followed: the stream's name, its tag, what it tells.
_STREAMS: Final = {
    "/api/mineru/ingest-batch/{pdf_job_id}": ("stream_pdf_batch", "mineru", "a batch: `progress` for each file"),
    "/api/mineru/ingest-batch": ("stream_pdf_batches", "mineru", "the latest batches: `progress` for each file"),
    "/api/feishu/connectors/{connector_id}": ("stream_feishu_sync", "feishu", "a connector's newest sync: `progress`"),
    "/api/feishu/connectors": ("stream_feishu_syncs", "feishu", "the connectors' newest syncs: `progress` for each"),
}
_ANSWERS: Final = {"200": {"description": "Events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}}


def describe_progress(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add each stream's path, open to the same identities and with the same names in it as what is followed."""
    for path, (name, tag, tells) in _STREAMS.items():
        followed = result["paths"][path]["get"]
        result["paths"][f"{path}/progress"] = {
            "get": {
                "operationId": name,
                "description": f"Follow {tells} and each change, as server-sent events, then `done`; `ping` in between.",
                "tags": [tag],
                "parameters": [each for each in followed.get("parameters", []) if each["in"] == "path"],
                "responses": _ANSWERS,
                "security": followed["security"],
            }
        }
    return result
