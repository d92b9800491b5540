"""Words of documents, cells of tables: whatever form a value has, what people see of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

from connectors.feishu.values import text_of

_DEEPEST: Final = 6
#: Where a value's words are, in this order.
_NAMES: Final = ("text", "name", "full_address", "title", "link", "url", "en_name", "email", "content", "value", "id")


def words(elements: Any) -> str:
    """The words of a line of a document, as its pieces give them."""
    return "".join(_piece(each) for each in elements if isinstance(each, dict)) if isinstance(elements, list) else ""


def cell(value: Any, *, depth: int = 0) -> str:  # noqa: PLR0911  one for each kind of value
    """What a cell shows."""
    if depth > _DEEPEST:
        return ""
    match value:
        case None:
            return ""
        case bool():
            return "✓" if value else "✗"
        case int():
            return str(value)
        case float():
            return f"{value:.12g}"
        case str():
            return value
        case list():
            shown = [cell(each, depth=depth + 1) for each in value]
            # pieces of one text follow on each other; several things are told apart
            is_text = all(isinstance(each, dict) and "text" in each for each in value)
            return ("" if is_text else ", ").join(each for each in shown if each)
        case dict():
            return _object(value, depth=depth)
    return ""


def moment(value: Any) -> str:
    """A moment in milliseconds as a date, with its time where it has one (UTC)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return cell(value)
    try:
        at = datetime.fromtimestamp(value / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return cell(value)
    return at.strftime("%Y-%m-%d" if not (at.hour or at.minute or at.second) else "%Y-%m-%d %H:%M")


def link_of(told: Mapping[str, Any]) -> str:
    """Where a block leads, if it says so."""
    component = told.get("component")
    url = text_of(component, "url") if isinstance(component, dict) else text_of(told, "url")
    return unquote(url)


def _object(value: Mapping[str, Any], *, depth: int) -> str:
    for name in _NAMES:
        if (shown := cell(value.get(name), depth=depth + 1)).strip():
            return shown
    return ", ".join(filter(None, (cell(each, depth=depth + 1) for each in value.values())))


def _piece(element: Mapping[str, Any]) -> str:
    """A piece of a line: text, a formula, somebody or something that is mentioned."""
    for kind, told in element.items():
        if not isinstance(told, dict):
            continue
        match kind:
            case "text_run" | "equation":
                content = told.get("content", told.get("text"))
                return content if isinstance(content, str) else ""
            case "mention_user" | "person":
                return f"@{text_of(told, 'user_id')}"
            case "mention_doc" | "docs_link" | "link_preview":
                return text_of(told, "title") or link_of(told)
            case "reminder":
                return f"[提醒: {moment(_milliseconds(told.get('expire_time')))}]"
            case "file" | "inline_block":
                return f"[{text_of(told, 'name') or text_of(told, 'file_token') or text_of(told, 'block_id')}]"
    return ""


def _milliseconds(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else value
