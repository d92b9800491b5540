"""What agents may have brought from outside."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from connectors.mineru import tool as mineru  # noqa: F401  it registers itself
from connectors.one_document import Wanted, take_in
from openintern.errors import OpenInternError
from runs.tools.registry import ToolContext, ToolError, tool

_SECONDS = 120.0


@tool(risk="medium", mutating=True, recovery="keyed", timeout=_SECONDS, from_outside=True)
def feishu_ingest_doc(
    context: ToolContext,
    doc_token: Annotated[str, "The token of the document", Field(max_length=200)] = "",
    doc_url: Annotated[str, "Its address, instead of the token; a wiki page's is fine", Field(max_length=2000)] = "",
    title: Annotated[str, "What to call it; its own title where nothing is said", Field(max_length=300)] = "",
    source_key: Annotated[str, "Under which it is replaced next time", Field(max_length=200)] = "",
    chunking: Annotated[dict[str, int], "target_tokens, max_tokens, min_tokens of its passages"] = {},  # noqa: B006  pydantic copies it
    project_shared: Annotated[bool, "For everybody in the project, not only for the person who gave the task"] = True,
    metadata: Annotated[dict[str, Any], "Anything to keep with it"] = {},  # noqa: B006  pydantic copies it
) -> dict[str, Any]:
    """Read a Feishu document into archival memory, in place of what it said before; memory_search finds it afterwards."""
    wanted = Wanted(doc_token, doc_url, title, source_key, chunking, project_shared, metadata)
    try:
        return take_in(context.scope, wanted)
    except OpenInternError as refusal:
        raise ToolError(f"{refusal.code}: {refusal.message}") from refusal
