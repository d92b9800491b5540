"""What a text is made of: headings, paragraphs, lists, code, tables. Markdown's signs, which plain text often has too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["heading", "paragraph", "code", "table"]

_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+\Z")
_HEADING: Final = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*\n?\Z")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-{2,})[ \t]*\n?\Z")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_LONGEST_TITLE: Final = 200


@dataclass(frozen=True)
class Block:
    """`text[start:end]`, with the blank lines behind it. `level` and `title` are a heading's; `page` counts from 1.

    `anchor` is what its source calls it.
    """

    kind: Kind
    start: int
    end: int
    level: int = 0
    title: str = ""
    page: int | None = None
    anchor: str = ""


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a text, in order and without a gap between them: the first starts at 0, the last ends with it."""
    blocks: list[Block] = []
    fence = ""
    for start, line in _lines(text):
        end = start + len(line)
        last = blocks[-1] if blocks else None
        if fence:
            blocks[-1] = _longer(blocks[-1], end)
            fence = "" if line.strip().startswith(fence) and not line.strip().strip(fence[0]) else fence
        elif not line.strip():
            blocks[-1:] = [_longer(last, end)] if last else []
        elif opened := _FENCE.match(line):
            fence = opened[1]
            blocks.append(Block("code", start, end))
        else:
            _take(text, blocks, line, start)
    return _joined_to_start(blocks, len(text))


def _take(text: str, blocks: list[Block], line: str, start: int) -> None:
    """Add a line that isn't blank: it begins a block, or goes on with the one before it."""
    end, last = start + len(line), blocks[-1] if blocks else None
    goes_on = last is not None and not _has_gap(text, start)
    if heading := _HEADING.match(line):
        blocks.append(Block("heading", start, end, level=len(heading[1]), title=heading[2][:_LONGEST_TITLE]))
    elif line.lstrip().startswith("|"):
        if goes_on and last and last.kind == "table":
            blocks[-1] = _longer(last, end)
        else:
            blocks.append(Block("table", start, end))
    elif goes_on and last and last.kind == "paragraph":
        blocks[-1] = _underlined(text, last, line, end) or _longer(last, end)
    else:
        blocks.append(Block("paragraph", start, end))


def _underlined(text: str, last: Block, line: str, end: int) -> Block | None:
    """A single line above === or --- is a heading."""
    if last.end - last.start > _LONGEST_TITLE or not _UNDERLINE.match(line):
        return None
    title = text[last.start : last.end].strip()
    if "\n" in title:
        return None
    return Block("heading", last.start, end, level=1 if "=" in line else 2, title=title)


def _has_gap(text: str, start: int) -> bool:
    """Whether a blank line stands before `start`."""
    before = text.rfind("\n", 0, start - 1) + 1 if start else 0
    return not text[before:start].strip()


def _longer(block: Block, end: int) -> Block:
    return Block(block.kind, block.start, end, block.level, block.title, block.page)


def _joined_to_start(blocks: list[Block], length: int) -> list[Block]:
    """Let blank lines before the first block belong to it."""
    if not blocks:
        return [Block("paragraph", 0, length)] if length else []
    first = blocks[0]
    return [Block(first.kind, 0, first.end, first.level, first.title, first.page), *blocks[1:]]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((found.start(), found[0]) for found in _LINE.finditer(text))
