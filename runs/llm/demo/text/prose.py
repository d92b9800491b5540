"""Markdown, reStructuredText and plain text, read line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from runs.llm.demo.text.reading import Block, Reading, numbered

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^(=|-|~|\^|\"){3,}\s*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)")
_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)、])\s+")
_PAIR = re.compile(r"^[A-Z][\w-]{1,30}: \S+(?:\s+\S+){0,6}$")


def prose_blocks(reading: Reading) -> Iterator[Block]:
    scan = _ProseScan(reading.path)
    for number, line in numbered(reading):
        yield from scan.take(number, line)
    yield from scan.close()


class _ProseScan:
    """Reads Markdown, reStructuredText or plain text line by line."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.headings: dict[int, str] = {}
        self.open: Block | None = None
        self.fence = ""
        self.table: tuple[str, ...] = ()
        self.in_list = False

    def take(self, number: int, line: str) -> Iterator[Block]:
        if self.fence:
            self._extend(line)
            if line.strip().startswith(self.fence):
                self.fence = ""
                yield from self.close()
        elif _UNDERLINE.match(line) and self.open and self.open.kind == "prose" and len(self.open.lines) == 1:
            title, self.open = self.open, None
            level = 1 if line.startswith("=") else 2
            yield self._heading(title.start, title.lines[0], level=level, title=title.lines[0].strip())
        elif mark := _FENCE.match(line):
            yield from self.close()
            self.fence = mark[1]
            self._begin(number, line, "fence")
        elif heading := _HEADING.match(line):
            yield from self.close()
            yield self._heading(number, line, level=len(heading[1]), title=heading[2])
        else:
            yield from self._take_text(number, line)

    def _take_text(self, number: int, line: str) -> Iterator[Block]:
        if not line.strip():
            self.table = ()
            yield from self.close()
        elif line.lstrip().startswith("|"):
            yield from self.close()
            yield from self._row(number, line)
        elif _ITEM.match(line):
            yield from self.close()
            self._begin(number, line, "item")
        elif self.open and not (self.open.kind == "pairs" and not _PAIR.match(line)):
            self._extend(line)
        else:
            yield from self.close()
            self._begin(number, line, self._kind_of(line))

    def _kind_of(self, line: str) -> str:
        """What a line opens: an indented example, a list of names and values, or a paragraph."""
        if re.match(r"(?: {4}|\t)", line) and not self.in_list:
            return "fence"
        return "pairs" if _PAIR.match(line) else "prose"

    def _row(self, number: int, line: str) -> Iterator[Block]:
        if len(self.table) < 2:
            self.table += (line,)
            return
        yield Block(self.path, number, (line,), "row", self._context(), lead=self.table)

    def _heading(self, number: int, line: str, *, level: int, title: str) -> Block:
        self.headings = {depth: text for depth, text in self.headings.items() if depth < level}
        context = self._context()
        self.headings[level] = title
        return Block(self.path, number, (line,), "heading", context)

    def _context(self) -> str:
        return " › ".join(self.headings[depth] for depth in sorted(self.headings))

    def _begin(self, number: int, line: str, kind: str) -> None:
        self.open = Block(self.path, number, (line,), kind, self._context())
        self.in_list = kind == "item" or (self.in_list and line.startswith(" "))

    def _extend(self, line: str) -> None:
        if self.open:
            self.open = replace(self.open, lines=(*self.open.lines, line))

    def close(self) -> Iterator[Block]:
        if self.open:
            yield self.open
        self.open = None
