"""What is said to a foreign server, and what is made of its answers. Everything it says is untrusted and bounded."""

from __future__ import annotations

import json
from typing import Any, Final

from runs.mcp.descriptions import MOST_TOOLS, visible

_MOST_PAGES: Final = 10
_LONGEST_TEXT: Final = 200_000
_LONGEST_ERROR: Final = 2_000
_MOST_PARTS: Final = 50
_LISTED: Final = 100


async def tools_of(client: Any) -> list[dict[str, Any]]:
    """Return its tools, as it says them: at most MOST_TOOLS."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.next_cursor
        if not cursor or len(found) >= MOST_TOOLS:
            break
    return found[:MOST_TOOLS]


async def call(client: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool. Returns {"is_error", "told"}; the structured answer if there is one, else its texts."""
    result = await client.call_tool(name, arguments)
    texts = [_part(part) for part in result.content[:_MOST_PARTS]]
    if result.is_error:
        return {"is_error": True, "told": visible("\n".join(texts), _LONGEST_ERROR) or "It gave no reason"}
    if result.structured_content is not None:
        return {"is_error": False, "told": {"result": result.structured_content}}
    return {"is_error": False, "told": _plain("\n".join(texts))}


async def resources(client: Any) -> dict[str, Any]:
    """What there is to read."""
    if client.server_capabilities.resources is None:
        return {"resources": [], "templates": []}
    listed, templates = await client.list_resources(), await client.list_resource_templates()
    return {
        "resources": [
            {
                "uri": visible(str(each.uri), 500),
                "name": visible(each.name, 200),
                "type": visible(each.mime_type or "", 100),
            }
            for each in listed.resources[:_LISTED]
        ],
        "templates": [
            {"uri": visible(str(each.uri_template), 500), "name": visible(each.name, 200)}
            for each in templates.resource_templates[:_LISTED]
        ],
    }


async def resource(client: Any, uri: str) -> dict[str, Any]:
    """Read one. What is no text is only named."""
    read = await client.read_resource(uri)
    texts = [getattr(each, "text", None) for each in read.contents[:_MOST_PARTS]]
    return {
        "uri": uri,
        "text": visible("\n".join(text for text in texts if text), _LONGEST_TEXT),
        "without_text": sum(text is None for text in texts),
    }


async def prompts(client: Any) -> dict[str, Any]:
    """The prompts that it offers."""
    if client.server_capabilities.prompts is None:
        return {"prompts": []}
    listed = await client.list_prompts()
    return {
        "prompts": [
            {
                "name": visible(each.name, 200),
                "description": visible(each.description or "", 500),
                "arguments": [visible(argument.name, 100) for argument in (each.arguments or [])[:_LISTED]],
            }
            for each in listed.prompts[:_LISTED]
        ]
    }


async def prompt(client: Any, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    """Get one, filled in."""
    got = await client.get_prompt(name, arguments)
    messages = [{"role": str(each.role), "text": _part(each.content)} for each in got.messages[:_MOST_PARTS]]
    return {"description": visible(got.description or "", 500), "messages": messages}


def _part(part: Any) -> str:
    """A piece of an answer as text; of pictures and the like, what they are."""
    if (text := getattr(part, "text", None)) is not None:
        return visible(str(text), _LONGEST_TEXT)
    inside = getattr(part, "resource", None)
    if inside is not None and (text := getattr(inside, "text", None)) is not None:
        return visible(str(text), _LONGEST_TEXT)
    return f"[{visible(str(getattr(part, 'type', 'something')), 40)}, which is no text]"


def _plain(text: str) -> dict[str, Any]:
    """A text that is JSON, as what it says."""
    if text[:1] in {"{", "["}:
        try:
            return {"result": json.loads(text)}
        except (ValueError, RecursionError):
            pass
    return {"text": text}
