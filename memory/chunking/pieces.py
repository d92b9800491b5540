"""From blocks to pieces of a size that an embedding can hold: whole blocks where they fit, else sentences, else words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from memory.chunking.blocks import Block, blocks_of

#: About how many tokens a piece has at most: small enough that one vector stands for all of it.
LIMIT: Final = 240
_LEAST_SECTION: Final = 0.25  # of the limit: a smaller piece is filled up with the next section
_LONGEST_HEADING: Final = 300
_WIDE: Final = re.compile(
    r"[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U0001f000-\U0003ffff]"
)
_SENTENCE: Final = re.compile(r"[。！？；…]+[\"”’」』）)]*\s*|[.!?]+[\"”’)\]]*\s+|\n+")
_CLAUSE: Final = re.compile(r"[，、：,;:]\s*|\s+")


@dataclass(frozen=True)
class Piece:
    """`text[start:end]` of the whole; `heading` is the path of the section it is in, `page` where it begins.

    `anchor` is what its source calls the block that it begins in.
    """

    text: str
    start: int
    end: int
    heading: str = ""
    page: int | None = None
    anchor: str = ""


def tokens(text: str) -> int:
    """Return about how many tokens a text has: one for each wide character, one for four others."""
    wide = len(_WIDE.findall(text))
    return wide + (len(text) - wide + 3) // 4


@dataclass(frozen=True)
class Sizes:
    """How large pieces are, as `of` measures: filled up to `target`; a block of up to `most` stays whole; a section that
    is smaller than `least` is filled up with the next one."""

    target: int = LIMIT
    most: int = LIMIT
    least: float = _LEAST_SECTION * LIMIT
    of: Callable[[str], int] = tokens


def split(
    text: str, *, blocks: Sequence[Block] | None = None, limit: int = LIMIT, sizes: Sizes | None = None
) -> list[Piece]:
    """Cut a text into pieces of about `limit` tokens at most, or of other `sizes`. Joined, they are the text; none is
    blank unless it is.

    `blocks` are what a reader knows of its structure and pages, without a gap between them; else they are found.
    """
    sizes = sizes or Sizes(limit, limit, _LEAST_SECTION * limit)
    packing = _Packing(text, sizes)
    for block in blocks_of(text) if blocks is None else blocks:
        packing.enter(block)
        for start, end in _parts(text, block, sizes):
            packing.add(start, end)
    return packing.finish()


@dataclass
class _Packing:
    """Pieces under way: parts are added in order, and a piece is closed when the next part is too much for it."""

    text: str
    sizes: Sizes
    pieces: list[Piece] = field(default_factory=list)
    path: list[tuple[int, str]] = field(default_factory=list)  # the headings above, with their levels
    start: int = 0
    end: int = 0
    size: int = 0
    heading: str = ""
    page: int | None = None
    anchor: str = ""
    _next_page: int | None = None
    _next_anchor: str = ""

    def enter(self, block: Block) -> None:
        """Go on with a block: a new section or page begins a new piece, unless hardly anything stands before it."""
        is_new_page = block.page != self._next_page
        if is_new_page or (block.kind == "heading" and self.size >= self.sizes.least):
            self.close()
        self._next_page, self._next_anchor = block.page, block.anchor
        if block.kind == "heading":
            self.path = [*(above for above in self.path if above[0] < block.level), (block.level, block.title)]
        if self.start == self.end:
            self._head()

    def add(self, start: int, end: int) -> None:
        """Add the part `text[start:end]`, which follows on the last one."""
        size = self.sizes.of(self.text[start:end])
        if self.size and self.size + size > self.sizes.target:
            self.close()
            self._head()
        self.end, self.size = end, self.size + size

    def close(self) -> None:
        """End the piece under way. Blank text is left to the next one."""
        if self.text[self.start : self.end].strip():
            self.pieces.append(self._piece())
            self.start, self.size = self.end, 0

    def finish(self) -> list[Piece]:
        """Return all pieces; blank text at the end belongs to the last one."""
        self.close()
        if self.start < self.end:
            last = self.pieces.pop() if self.pieces else self._piece()
            self.pieces.append(replace(last, text=self.text[last.start : self.end], end=self.end))
        return self.pieces

    def _piece(self) -> Piece:
        text = self.text[self.start : self.end]
        return Piece(text, self.start, self.end, self.heading, self.page, self.anchor)

    def _head(self) -> None:
        self.heading = " › ".join(title for _, title in self.path)[:_LONGEST_HEADING]
        self.page, self.anchor = self._next_page, self._next_anchor


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, without the blanks around them."""
    cut = (text[start:end].strip() for start, end in _cut(text, 0, len(text), _SENTENCE))
    return [sentence for sentence in cut if sentence]


def _parts(text: str, block: Block, sizes: Sizes) -> Iterator[tuple[int, int]]:
    """Yield a block whole if it fits, else its lines (code, tables) or its sentences, the longest of these in turn cut."""
    if sizes.of(text[block.start : block.end]) <= sizes.most:
        yield block.start, block.end
        return
    ends = re.compile(r"\n") if block.kind in {"code", "table"} else _SENTENCE
    for start, end in _cut(text, block.start, block.end, ends):
        if sizes.of(text[start:end]) <= sizes.most:
            yield start, end
        else:
            yield from _words(text, start, end, sizes.target)


def _words(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield what has no end of a sentence in it, cut between words, or anywhere where there are none."""
    for first, last in _cut(text, start, end, _CLAUSE):
        for at in range(first, last, limit):
            yield at, min(at + limit, last)


def _cut(text: str, start: int, end: int, ends: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    for found in ends.finditer(text, start, end):
        if found.end() > start:
            yield start, found.end()
            start = found.end()
    if start < end:
        yield start, end
