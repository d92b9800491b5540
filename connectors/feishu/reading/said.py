"""What came of reading a source, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from connectors.feishu.answers import BadAnswer, Refusal
from connectors.feishu.values import entries
from memory.documents.parts import Part
from memory.writing import LONGEST_TEXT

MOST_PAGES: Final = 1_000


@dataclass
class Said:
    """The parts of a source at a revision. `about` goes with the memory, so that people can find where it stands."""

    title: str
    revision: str
    parts: list[Part] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    _length: int = 0

    def add(self, part: Part | None) -> None:
        """Take a part. Raises Refusal when all of it is more than one memory holds."""
        if part is None:
            return
        self._length += len(part.text)
        if self._length > LONGEST_TEXT:
            raise Refusal("TOO_LARGE", f"It has more than {LONGEST_TEXT:,} characters; split it")
        self.parts.append(part)


def all_pages(ask: Callable[[str], dict[str, Any]], name: str = "items") -> Iterator[dict[str, Any]]:
    """Yield the entries of every page. Raises BadAnswer for a list that comes back to where it was, or has no end."""
    token, seen = "", set[bytes]()
    for _ in range(MOST_PAGES):
        data = ask(token)
        yield from entries(data, name)
        if data.get("has_more") is not True:
            return
        following = data.get("page_token")
        if not isinstance(following, str) or not 0 < len(following) <= 1000:
            raise BadAnswer("it has more, and doesn't say where")
        mark = sha256(following.encode("utf-8", "replace")).digest()[:8]
        if mark in seen:
            raise BadAnswer("its pages come back to where they were")
        seen.add(mark)
        token = following
    raise BadAnswer(f"it has more than {MOST_PAGES} pages")
