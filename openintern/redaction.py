"""Secrets stay out of events, logs and error messages: what is known to be one, then what looks like one.

Known are the values of this process's own settings and of environment variables that are named like secrets. Patterns
find the common kinds that people paste and files hold. What is found is replaced by a mark; whether something was found
is told honestly (`redaction.contains_secrets` of an event).
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from functools import cache
from typing import Any

from django.conf import settings

MARK = "[redacted]"
_LEAST_LENGTH = 8  # a shorter value would be found in ordinary words
_MOST_LEARNED = 1000

_learned: dict[str, None] = {}  # secrets that this process came to know, the newest last

_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_PATTERNS = re.compile(
    r"""
      -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \boi_[A-Za-z0-9]{12}_[A-Za-z0-9_-]{51}                                     # our own keys
    | \b[spr]k-[A-Za-z0-9_-]{20,}                                                # OpenAI, Anthropic and their like
    | \bAIza[A-Za-z0-9_-]{35}                                                    # Google
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                                              # AWS
    | \bgh[pousr]_[A-Za-z0-9]{36,} | \bgithub_pat_[A-Za-z0-9_]{22,} | \bglpat-[A-Za-z0-9_-]{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                                             # Slack
    | \beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}         # JSON web tokens
    | (?<=[Bb]earer[ ])[A-Za-z0-9._~+/=-]{20,}
    | (?<=://)[^/\s:@"']+:[^/\s@"']+(?=@)                                        # name and password in an address
    """,
    re.VERBOSE | re.DOTALL,
)


def learn(secret: str) -> None:
    """Leave this text out of events, logs and errors from now on; one too short to be told from words is not kept."""
    if len(secret) < _LEAST_LENGTH or secret in _learned:
        return
    _learned[secret] = None
    if len(_learned) > _MOST_LEARNED:
        del _learned[next(iter(_learned))]


def redact(value: Any) -> tuple[Any, bool]:
    """Return `value` (JSON-able) without secrets, and whether there were any. Keys of objects are left alone."""
    match value:
        case str():
            cleaned = redact_text(value)
            return cleaned, cleaned != value
        case dict():
            items = {key: redact(item) for key, item in value.items()}
            return {key: item for key, (item, _) in items.items()}, any(found for _, found in items.values())
        case list() | tuple():
            parts = [redact(item) for item in value]
            return [item for item, _ in parts], any(found for _, found in parts)
    return value, False


def redact_text(text: str) -> str:
    """Return `text` with a mark in place of every secret."""
    for secret in (*_known(), *sorted(_learned, key=len, reverse=True)):
        text = text.replace(secret, MARK)
    return _PATTERNS.sub(MARK, text)


def redact_log(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A step of structlog's: no line of a log holds a secret."""
    return {key: redact(value)[0] for key, value in line.items()}


@cache
def _known() -> tuple[str, ...]:
    """This process's secrets, the longest first, so that one that holds another goes as a whole."""
    named = [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]
    own = [
        settings.SECRET_KEY,
        settings.CONFIG.llm.api_key,
        settings.CONFIG.memory.api_key,
        settings.DATABASES["default"].get("PASSWORD", ""),
    ]
    return tuple(sorted({value for value in [*named, *own] if len(value) >= _LEAST_LENGTH}, key=len, reverse=True))
