"""Wishes that something be remembered."""

from __future__ import annotations

import re

from runs.llm.demo.wishes import Remember
from runs.llm.demo.wishes.mentions import Sketch

_REMEMBER = re.compile(
    r"^\s*(?:please[,\s]+|can you\s+|could you\s+)?(?:remember|keep in mind|don't forget|note)\s*(?:that\b|this\b)?\s*[:,]?\s+(?P<text>.+)$"
    r"|^\s*(?:请|麻烦)?(?:你)?(?:帮我)?(?:记住|记下|记得|别忘了)[：:，,]?\s*(?P<text2>.+)$",
    re.IGNORECASE | re.DOTALL,
)
#: "Remember what …?" asks.
_ASKS = re.compile(r"^(?:what|when|where|who|why|how|which|if|whether)\b|[?？]\s*$", re.IGNORECASE)
_LEAST = 3  # characters


def remember(text: str, drawn: Sketch) -> Remember | None:
    """What somebody wants kept in memory; a file that is named is where they want it instead."""
    found = _REMEMBER.match(text)
    if not found or drawn.files:
        return None
    said = (found["text"] or found["text2"]).strip()
    return Remember(said) if len(said) >= _LEAST and not _ASKS.search(said) else None
