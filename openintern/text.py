"""Text that can be stored: PostgreSQL refuses NUL, and JSON can't carry half a surrogate pair."""

from __future__ import annotations

import re
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def storable(value: Any) -> Any:
    """Return `value` (JSON-able) with every character that can't be stored replaced by U+FFFD."""
    match value:
        case str():
            return _UNSTORABLE.sub(REPLACEMENT, value)
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
    return value


def is_storable(value: str) -> bool:
    """Whether `value` can be stored as it is."""
    return _UNSTORABLE.search(value) is None


def shorten(value: str, limit: int) -> str:
    """Return at most `limit` characters of `value`, ending in an ellipsis where some were left out."""
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"
