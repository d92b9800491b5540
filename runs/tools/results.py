"""Making a tool's result fit for the log and for a model's context: storable, JSON, and of bounded size."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from openintern.text import storable

MAX_BYTES: Final = 32_000
_MAX_DEPTH: Final = 32

#: How much is kept of each text, and of each list, until the whole fits.
_ALLOWANCES: Final = ((16_000, 400), (8_000, 200), (4_000, 100), (2_000, 50), (500, 20), (100, 5), (20, 2))


def bounded(result: dict[str, Any], *, limit: int = MAX_BYTES) -> dict[str, Any]:
    """Return `result` as plain JSON of at most `limit` bytes.

    Where something had to be left out, `cut` lists what and how much: nothing is shortened silently.
    """
    plain: dict[str, Any] = storable(_plain(result, depth=0))
    if json_size(plain) <= limit:
        return plain
    for characters, items in _ALLOWANCES:
        cuts: list[str] = []
        shorter = _shorten(plain, "", characters=characters, items=items, cuts=cuts)
        shorter["cut"] = cuts[:20]
        if json_size(shorter) <= limit:
            return dict(shorter)
    return {"cut": [f"everything: the result of {json_size(plain)} bytes could not be shortened to {limit}"]}


def digests(result: dict[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of each file of which a result tells path and digest: the run has seen that content."""
    listed = result.get("files")
    files = [result, *(listed if isinstance(listed, list) else ())]
    return {
        file["path"]: file["sha256"] for file in files if isinstance(file, dict) and "path" in file and "sha256" in file
    }


def json_size(value: Any) -> int:
    """Return how many bytes `value` takes as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _plain(value: Any, *, depth: int) -> Any:
    """Return `value` built only of what JSON has; anything else becomes its text."""
    if depth > _MAX_DEPTH:
        return "[nested too deep]"
    match value:
        case dict():
            return {str(key): _plain(item, depth=depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item, depth=depth + 1) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case None | bool() | int() | float():
            return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _shorten(value: Any, where: str, *, characters: int, items: int, cuts: list[str]) -> Any:
    match value:
        case str() if len(value) > characters:
            cuts.append(f"{where}: {characters} of {len(value)} characters")
            return value[:characters] + "…"
        case list():
            if len(value) > items:
                cuts.append(f"{where}: {items} of {len(value)} items")
            return [
                _shorten(item, f"{where}[{index}]", characters=characters, items=items, cuts=cuts)
                for index, item in enumerate(value[:items])
            ]
        case dict():
            if len(value) > items:
                cuts.append(f"{where or 'result'}: {items} of {len(value)} keys")
            kept = list(value.items())[:items]
            return {
                key: _shorten(item, f"{where}.{key}" if where else key, characters=characters, items=items, cuts=cuts)
                for key, item in kept
            }
    return value
