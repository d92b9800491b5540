"""Where sentences begin and end, in wrapped lines of either language."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from runs.llm.demo.words.terms import CJK

_STOP = re.compile(rf"(?P<stop>[.!?][\"')\]*_`]*)\s+(?=[\"'(\[*_`]*[A-Z0-9`{CJK}])|(?P<chinese>[。！？；][”」』）*]*)")
_LEAD_IN = re.compile(r"^(?:\W|\d+\.)*\*\*[^*]{1,60}[.:。：]\*\*$|^\W*\d{1,3}\.$")
_QUESTION = re.compile(r"\w[?？]$")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Dr|Mr|Ms|St|approx)|(?<!\w)[A-Z0-9]{1,2})\.$")


def split_sentences(lines: tuple[str, ...], start: int) -> list[tuple[int, str]]:
    """Sentences of wrapped lines, each with the line it begins on."""
    text, begins = _join(lines)
    found: list[tuple[int, str]] = []
    first = 0
    for cut in [*_cuts(text), len(text)]:
        piece = text[first:cut].strip()
        if cut < len(text) and _goes_on(piece):
            continue
        if piece:
            found.append((start + max(bisect_right(begins, first) - 1, 0), piece))
        first = cut + len(text[cut:]) - len(text[cut:].lstrip())
    return found


def _join(lines: tuple[str, ...]) -> tuple[str, list[int]]:
    """The lines as one text (no space between two Chinese ones), and where each begins in it."""
    parts: list[str] = []
    begins: list[int] = []
    length = 0
    for line in map(str.strip, lines):
        before = parts[-1] if parts else ""
        together = not before or (re.search(f"[{CJK}，。、；：]$", before) and re.match(f"[{CJK}]", line))
        parts.append(line if together else f" {line}")
        begins.append(length + (0 if together else 1))
        length += len(parts[-1])
    return "".join(parts), begins


def _cuts(text: str) -> Iterator[int]:
    """Where a sentence may end: after its full stop and whatever closes with it."""
    return (match.end(match.lastgroup or 0) for match in _STOP.finditer(text))


def _goes_on(piece: str) -> bool:
    """Whether a stop was none: after an abbreviation, or at the end of a bold lead-in, of a mere number, of a
    question that is answered next."""
    return bool(_ABBREVIATION.search(piece) or _LEAD_IN.search(piece) or _QUESTION.search(piece))
