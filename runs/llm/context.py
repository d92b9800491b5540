"""How much a model can be shown, and how much a conversation is: both without asking anybody.

Tokens are estimated from bytes. A provider's own count of the last prompt says by how much that is off; see `correction`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

DEFAULT_WINDOW = 128_000

#: The windows of models by the beginning of their names, the longer ones first. What isn't here is taken to have DEFAULT_WINDOW.
_WINDOWS = (
    ("gpt-3.5-turbo", 16_385),
    ("gpt-4-turbo", 128_000),
    ("gpt-4-32k", 32_768),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("gpt-5", 400_000),
    ("gpt-4", 8_192),
    ("claude-", 200_000),
    ("gemini-1.5", 1_048_576),
    ("gemini-2", 1_048_576),
    ("llama3.", 131_072),
    ("llama3", 8_192),
)

_BYTES_PER_TOKEN = 4  # English has about four, code and Chinese three
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 1_500
_LEAST_CORRECTION, _MOST_CORRECTION = 0.5, 4.0


def window_of(model: str, *, at_most: int) -> int:
    """Return how many tokens prompt and answer may have together: what the operator allows, or less if the model takes less."""
    name = model.rpartition("/")[2].lower()
    known = next((tokens for beginning, tokens in _WINDOWS if name.startswith(beginning)), None)
    return min(at_most, known) if known else at_most


def estimate(messages: Iterable[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> int:
    """Return about how many tokens a prompt is. It grows with every message, and costs no tokenizer."""
    length = sum(_length(message) for message in messages) + _bytes(json.dumps(tools, ensure_ascii=False))
    return length // _BYTES_PER_TOKEN


def correction(*, counted: int, estimated: int) -> float:
    """Return by what to multiply an estimate, from a provider's count of a prompt and the estimate of the same one.

    Bounded, since not every server counts honestly: some leave out what they had in their cache.
    """
    if counted <= 0 or estimated <= 0:
        return 1.0
    return min(max(counted / estimated, _LEAST_CORRECTION), _MOST_CORRECTION)


def _length(message: dict[str, Any]) -> int:
    calls = sum(
        _bytes(call["function"]["name"] + call["function"]["arguments"]) for call in message.get("tool_calls", ())
    )
    return _content_length(message["content"]) + calls + _TOKENS_PER_MESSAGE * _BYTES_PER_TOKEN


def _content_length(content: str | list[dict[str, Any]] | None) -> int:
    match content:
        case str():
            return _bytes(content)
        case list():
            return sum(
                _bytes(part["text"]) if "text" in part else _TOKENS_PER_IMAGE * _BYTES_PER_TOKEN for part in content
            )
    return 0


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
