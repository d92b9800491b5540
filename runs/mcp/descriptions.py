"""What a foreign server says of its tools, made fit to be shown to an admin and to a model, and to be pinned.

Everything is untrusted text: characters that nobody sees are taken out, lengths are bounded, and a schema keeps only what
constrains arguments. The digest is of what the server said, so that a change is noticed also where we had cut.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any, Final

from runs.mcp.naming import Illegal, alias, clashes

MOST_TOOLS: Final = 100
_DESCRIPTION: Final = 2_000
_SCHEMA_BYTES: Final = 16_000
_WORD: Final = 500
_MOST_VALUES: Final = 100
_DEEPEST: Final = 12
#: What is kept of a JSON schema. Patterns are not: a regular expression of a stranger's can run for ever.
_KEPT: Final = {
    "type", "properties", "required", "items", "enum", "const", "description", "default", "additionalProperties",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "anyOf", "oneOf", "allOf", "format", "title",
}  # fmt: skip
#: Words in a tool's name that say that it sends, deletes or runs something, whatever else the server says of it.
_HIGH: Final = re.compile(
    r"(?i)(?:^|[^a-z])(delete|remove|drop|destroy|purge|erase|wipe|truncate|send|post|publish|upload|email|mail|share"
    r"|pay|transfer|buy|order|write|update|create|insert|exec|execute|run|shell|command|eval|deploy|merge|push|grant"
    r"|revoke|invite|move|rename|kill|stop|restart)(?:$|[^a-z])"
)


def pinned(server: str, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools as they are stored: `name`, `alias`, `description`, `schema`, `digest`, and `refused` if we can't use one."""
    tools = [_pinned(server, tool) for tool in listed[:MOST_TOOLS]]
    alike = clashes(tool["alias"] for tool in tools if not tool["refused"])
    names = [tool["name"] for tool in tools]
    for tool in tools:
        if tool["alias"] in alike or names.count(tool["name"]) > 1:
            tool["refused"] = "Another tool of this server has a name that looks the same"
    return tools


def is_dangerous(name: str) -> bool:
    """Whether a tool's name says that it does something that can't be taken back. Its hints say nothing to us."""
    return bool(_HIGH.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)))


def visible(text: str, limit: int) -> str:
    """Return a text without what isn't seen (formats, tags, controls, private use), and at most `limit` characters of it."""
    seen = "".join(each for each in text if each in "\n\t" or unicodedata.category(each)[0] != "C")
    return seen if len(seen) <= limit else seen[: limit - 1] + "…"


def _pinned(server: str, tool: dict[str, Any]) -> dict[str, Any]:
    name = visible(str(tool.get("name", "")), 128)
    refused, known_as = "", ""
    try:
        known_as = alias(server, str(tool.get("name", "")))
    except Illegal as error:
        refused = str(error)
    schema = _schema(tool.get("inputSchema"), depth=0)
    if not isinstance(schema, dict) or len(json.dumps(schema)) > _SCHEMA_BYTES:
        schema, refused = {}, refused or "The schema of its arguments is too large, or none"
    schema = {**schema, "type": "object", "properties": schema.get("properties") or {}}
    schema.setdefault("additionalProperties", False)
    return {
        "name": name,
        "alias": known_as,
        "description": visible(str(tool.get("description") or ""), _DESCRIPTION),
        "schema": schema,
        "digest": digest(tool),
        "refused": refused,
    }


def digest(tool: dict[str, Any]) -> str:
    """Return what names exactly this tool: its name, title, description, and schemas, as the server said them."""
    said = {key: tool.get(key) for key in ("name", "title", "description", "inputSchema", "outputSchema")}
    text = json.dumps(said, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _schema(value: Any, *, depth: int) -> Any:
    """Return what is kept of a schema, or of a part of one."""
    if depth > _DEEPEST:
        return {}
    match value:
        case dict():
            kept = {key: item for key, item in value.items() if key in _KEPT}
            if isinstance(properties := kept.get("properties"), dict):
                named = list(properties.items())[:_MOST_VALUES]
                kept["properties"] = {visible(str(key), 64): _schema(item, depth=depth + 1) for key, item in named}
            return {key: item if key == "properties" else _schema(item, depth=depth + 1) for key, item in kept.items()}
        case list():
            return [_schema(item, depth=depth + 1) for item in value[:_MOST_VALUES]]
        case str():
            return visible(value, _WORD)
        case bool() | int() | float() | None:
            return value
    return str(value)
