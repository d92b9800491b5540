"""Quote what was read: the lines as they stand, where they stand, and nothing in them taken as markup of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runs.llm.demo.text.reading import FENCE_LANGUAGE, Block, extension, is_memory, is_prose

LONGEST_QUOTED_LINE = 400


_CODE_SPAN = re.compile(r"(`+[^`]*`+)")
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Quote:
    path: str
    start: int
    lines: tuple[str, ...]
    context: str = ""
    lead: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.lines) - 1


def render(quote: Quote) -> str:
    """The source, then the lines: prose as a blockquote, all else in a fence of its language."""
    source = _source(quote.path, f"{quote.start}-{quote.end}")
    context = f" · {plain(quote.context)}" if quote.context else ""
    return f"{source}{context}\n\n{quoted(quote.path, (*quote.lead, *quote.lines))}"


def quoted(path: str, lines: tuple[str, ...]) -> str:
    lines = tuple(map(_bounded, lines))
    if is_prose(path):
        return "\n".join(f"> {neutral(line)}" for line in _dedented(lines))
    return fenced(lines, FENCE_LANGUAGE.get(extension(path), ""))


def fenced(lines: tuple[str, ...], language: str) -> str:
    """A fence longer than any run of backticks inside, so that nothing quoted can end it."""
    longest = max((len(run) for line in lines for run in re.findall("`{3,}", line)), default=2)
    fence = "`" * (longest + 1)
    return "\n".join([fence + language, *_dedented(lines), fence])


def _dedented(lines: tuple[str, ...]) -> list[str]:
    margins = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    margin = min(margins, default=0)
    return [line[margin:] for line in lines]


def _bounded(line: str) -> str:
    return line if len(line) <= LONGEST_QUOTED_LINE else line[:LONGEST_QUOTED_LINE] + " …"


def neutral(line: str) -> str:
    """A quoted line of Markdown without what would load something or count as our own heading."""
    pieces = _CODE_SPAN.split(line)
    pieces[::2] = [_IMAGE.sub(r"[\1]", piece).replace("<", "&lt;") for piece in pieces[::2]]
    return re.sub(r"^(\s*)#{1,6}\s+(.*)$", r"\1**\2**", "".join(pieces))


def plain(text: str) -> str:
    """One line of running text out of Markdown: no list mark, no table pipes, no unpaired emphasis."""
    text = " ".join(text.split())
    text = re.sub(r"^(?:[-*+•]|\d{1,3}[.)、]|#{1,6}|>)\s+", "", text)
    if text.startswith("|"):
        text = " — ".join(cell.strip() for cell in text.strip("|").split("|") if cell.strip(" -:"))
    for mark in ("**", "`"):
        if text.count(mark) % 2:
            text = text.replace(mark, "")
    return neutral(text)


def shortened(text: str, most: int = 330) -> str:
    if len(text) <= most:
        return text
    cut = max(text.rfind(mark, 0, most) for mark in (";", ",", "；", "，", "。", " "))
    text = text[: cut if cut > most // 2 else most].rstrip(",; ")
    return plain(text) + " …"


def source_of(block: Block, line: int) -> str:
    return _source(block.path, str(line))


def _source(path: str, lines: str) -> str:
    """A memory is cited by its id; that it has lines is our reading of it."""
    return f"`{path}`" if is_memory(path) else f"`{path.replace('`', '')}:{lines}`"
