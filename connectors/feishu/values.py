"""Values of answers, as far as there is sense in them: whoever answers may have been taken over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from openintern.text import storable

TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST: Final = {"url": 500}


def is_token(value: Any) -> TypeGuard[str]:
    """Whether this can be asked for: it has no slash, no dot, nothing that leads elsewhere."""
    return isinstance(value, str) and TOKEN.fullmatch(value) is not None


def entries(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a list; whatever else is in it is left out."""
    value = data.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text_of(data: Mapping[str, Any], name: str) -> str:
    """A short text, in one line."""
    value = data.get(name)
    if not isinstance(value, str):
        return ""
    text = " ".join(str(storable(value)).split())[: _LONGEST.get(name, 300)]
    return text if name != "url" or text.startswith(("https://", "http://")) else ""


def yes(value: Any) -> bool:
    """True, and nothing that is merely something."""
    return value is True


def whole(value: Any) -> int | None:
    """A whole number, be it sent as a text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else None
