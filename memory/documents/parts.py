"""What every format becomes: parts in order, of which the text is made and of which each knows its page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from memory.chunking import Block
from memory.chunking.blocks import Kind

#: How a reader says what it finds out on its way: `tell(pages=12)`, `tell(page=3)`, `tell(title="…")`.
Tell = Callable[..., None]


class Unreadable(Exception):
    """A document can't be taken in; `problem` is the code that says why (`Document.Problem`)."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True)
class Part:
    """A heading, a paragraph, a table or code, with whatever sets it apart from the next one at its end.

    `level` and `title` are a heading's; `page` counts from 1 and is None where the format has no pages. `anchor` is what
    its source calls it: the id of a block, of a record.
    """

    kind: Kind
    text: str
    level: int = 0
    title: str = ""
    page: int | None = None
    anchor: str = ""


def heading(text: str, *, level: int, page: int | None = None) -> Part:
    """A heading as Markdown writes it."""
    title = " ".join(text.split())
    level = min(max(level, 1), 6)
    return Part("heading", f"{'#' * level} {title}\n\n", level, title, page)


def paragraph(text: str, *, page: int | None = None) -> Part:
    """A paragraph."""
    return Part("paragraph", text.strip() + "\n\n", page=page)


def code(text: str, *, page: int | None = None) -> Part:
    """Code, between fences that are longer than any in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return Part("code", f"{fence}\n{text.rstrip()}\n{fence}\n\n", page=page)


def table(rows: Iterable[Iterable[str]], *, page: int | None = None) -> Part | None:
    """A table as Markdown writes it, the first row as its head; None where there is nothing in it."""
    cells = [[_cell(text) for text in row] for row in rows]
    cells = [row for row in cells if any(row)]
    if not cells:
        return None
    width = max(map(len, cells))
    lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in cells]
    lines.insert(1, "|" + " --- |" * width)
    return Part("table", "\n".join(lines) + "\n\n", page=page)


def blocks_in(parts: Iterable[Part]) -> Iterator[Block]:
    """Yield where each part stands in the text that all of them make."""
    at = 0
    for part in parts:
        yield Block(part.kind, at, at + len(part.text), part.level, part.title, part.page, part.anchor)
        at += len(part.text)


def as_wire(part: Part) -> list[Any]:
    """A part as JSON carries it from one process to the other."""
    return [part.kind, part.text, part.level, part.title, part.page]


def from_wire(sent: Any) -> Part:
    """The part again. Raises ValueError for what no reader sends: that process may have been taken over."""
    match sent:
        case [
            ("heading" | "paragraph" | "code" | "table") as kind,
            str(text),
            int(level),
            str(title),
            (int() | None) as page,
        ] if text and 0 <= level <= 9 and (page is None or 0 < page < 2**31):
            return Part(kind, text, level, title, page)
    raise ValueError("not a part of a document")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
