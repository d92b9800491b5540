"""Puts an answer together from the pieces it arrives in."""

from __future__ import annotations

from typing import Any

from openintern.text import storable
from runs.llm.tool_calls import MAX_KEPT, Draft

#: In characters, text and arguments together; several times what the largest models write in one answer.
MAX_CHARS = 1_000_000
MARK = f"\n\n[The answer was cut here: it was longer than {MAX_CHARS:,} characters.]"

_HIGH_SURROGATES = ("\ud800", "\udbff")


class Collector:
    """Text and tool calls so far, bounded in size and free of what can't be stored.

    `take` returns the fragment to show; the concatenation of all fragments, with that of `close`, is `text`.
    """

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.is_full = False
        self._fragments: list[str] = []
        self._open: dict[int, Draft] = {}
        self._size = 0
        self._half = ""

    @property
    def text(self) -> str:
        return "".join(self._fragments)

    def take(self, delta: Any) -> str:
        """Add one delta of a chat completion stream."""
        for piece in getattr(delta, "tool_calls", None) or ():
            self._take_call(piece)
        return self._take_text(getattr(delta, "content", None) or "")

    def close(self) -> str:
        """What is still to be shown once the stream is over."""
        return self._keep(("\ufffd" if self._half else "") + (MARK if self.is_full else ""))

    def _take_text(self, content: str) -> str:
        content = self._whole_characters(content[: self._room()])
        self._grow(len(content))
        return self._keep(content)

    def _whole_characters(self, content: str) -> str:
        """`content` fit to store, less half a character at its end, which is kept for the next piece."""
        content, self._half = self._half + content, ""
        if content and _HIGH_SURROGATES[0] <= content[-1] <= _HIGH_SURROGATES[1]:
            content, self._half = content[:-1], content[-1]
        if any(character > "\ud7ff" for character in content):
            content = content.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return str(storable(content))

    def _take_call(self, piece: Any) -> None:
        draft = self._draft(piece)
        if draft is None:
            return
        draft.id = draft.id or piece.id or ""
        draft.name = draft.name or piece.function.name or ""
        arguments = (piece.function.arguments or "")[: self._room()]
        draft.parts.append(arguments)
        self._grow(len(arguments))

    def _draft(self, piece: Any) -> Draft | None:
        """The call that `piece` continues, or a new one; None when there are more than anybody will answer."""
        index = piece.index or 0
        known = self._open.get(index)
        # Some servers give every call the index 0; a second id then means a second call.
        if known and not (piece.id and known.id and piece.id != known.id):
            return known
        draft = self._open[index] = Draft()
        self.drafts.append(draft)
        return draft if len(self.drafts) <= MAX_KEPT else None

    def _room(self) -> int:
        return max(0, MAX_CHARS - self._size)

    def _grow(self, by: int) -> None:
        self._size += by
        self.is_full = self._size >= MAX_CHARS

    def _keep(self, fragment: str) -> str:
        if fragment:
            self._fragments.append(fragment)
        return fragment
