"""What a connector is to bring: tokens of documents and of what holds them, how often, how much, cut how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from openintern.errors import Invalid

#: What may be named, and how many of each.
TOKENS: Final = ("folder_tokens", "wiki_space_ids", "wiki_node_tokens", "file_tokens", "bitable_app_tokens")
MOST_TOKENS: Final = 100
#: Least, most, and where nothing is said.
NUMBERS: Final = {
    "poll_interval_seconds": (60, 86_400, 300),
    "max_docs_per_sync": (1, 10_000, 200),
    "max_records_per_table": (1, 5_000, 500),
}
#: How a text is cut into passages, in tokens.
CHUNKING: Final = {
    "target_tokens": (120, 2_000, 600),
    "max_tokens": (240, 4_000, 1_100),
    "min_tokens": (40, 1_200, 120),
}
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{3,100}")


def checked(told: Any) -> dict[str, Any]:
    """Return a whole configuration. What isn't said is as by default. Raises VALIDATION_ERROR."""
    given = _object(told, "config", known={*TOKENS, *NUMBERS, "chunking", "include_comments"})
    config: dict[str, Any] = {name: _tokens(given.get(name, []), f"config.{name}") for name in TOKENS}
    config |= {name: _number(given, name, f"config.{name}", *bounds) for name, bounds in NUMBERS.items()}
    config["include_comments"] = given.get("include_comments", False)
    if not isinstance(config["include_comments"], bool):
        raise Invalid("config.include_comments", "Must be true or false")
    config["chunking"] = _chunking(given.get("chunking", {}))
    return config


def token_in(text: str) -> str:
    """Return the token that a text is, or the one in an address: `https://…/wiki/<token>?…`."""
    text = text.strip()
    if "://" not in text:
        return text
    steps = [step for step in urlsplit(text).path.split("/") if step]
    return steps[-1] if steps else ""


def shape(config: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what decides how a source that didn't change is remembered: with another one it is read anew."""
    return (config.get("chunking"), config.get("include_comments"), config.get("max_records_per_table"))


def _chunking(told: Any) -> dict[str, int]:
    given = _object(told, "config.chunking", known=set(CHUNKING))
    chunking = {name: _number(given, name, f"config.chunking.{name}", *bounds) for name, bounds in CHUNKING.items()}
    if not chunking["min_tokens"] <= chunking["target_tokens"] <= chunking["max_tokens"]:
        raise Invalid("config.chunking", "min_tokens, target_tokens and max_tokens must not fall")
    return chunking


def _object(told: Any, field: str, *, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise Invalid(field, "Must be an object")
    for name in told:
        if name not in known:
            raise Invalid(f"{field}.{name[:60]}", "Unknown field")
    return told


def _tokens(told: Any, field: str) -> list[str]:
    if not isinstance(told, list) or len(told) > MOST_TOKENS:
        raise Invalid(field, f"Must be a list of at most {MOST_TOKENS} tokens")
    tokens = [token_in(each) if isinstance(each, str) else "" for each in told]
    for place, token in enumerate(tokens):
        if not _TOKEN.fullmatch(token):
            raise Invalid(
                f"{field}.{place}", "Must be a token of letters, digits, - and _, or an address that ends with one"
            )
    return list(dict.fromkeys(tokens))


def _number(given: Mapping[str, Any], name: str, field: str, least: int, most: int, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(field, f"Must be a whole number from {least} to {most}")
    return value
