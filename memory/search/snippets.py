"""The part of a passage that shows why it was found, with the words that were looked for marked."""

from __future__ import annotations

from collections.abc import Iterator

from memory import terms

LONGEST = 240  # characters
_BEFORE = 40  # characters of context before the first mark

Spans = tuple[tuple[int, int], ...]


def make(text: str, *, wanted: frozenset[str], longest: int = LONGEST) -> tuple[str, Spans]:
    """Return a part of `text` of at most `longest` characters, and where in it the wanted terms stand.

    It is the part with the most different ones of them; without any, the beginning. An ellipsis shows what was left out.
    """
    marks = list(_marks(text, wanted))
    if len(text) <= longest:
        return text, _joined(marks)
    start = _best_start(text, marks, longest=longest - 2)
    end = min(len(text), start + longest - 2)
    before, after = "…" if start else "", "…" if end < len(text) else ""
    shift = len(before) - start
    inside = [(first + shift, last + shift, term) for first, last, term in marks if first >= start and last <= end]
    return f"{before}{text[start:end]}{after}", _joined(inside)


def _marks(text: str, wanted: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """Yield what to mark. A single character is marked only where it isn't part of a longer thing that is wanted."""
    in_pairs = {character for term in wanted if len(term) == 2 for character in term}
    for term, start, end in terms.located(text, wanted - in_pairs):
        yield start, end, term


def _best_start(text: str, marks: list[tuple[int, int, str]], *, longest: int) -> int:
    """Return where the window begins that holds the most different terms; it begins at a word where it can."""
    if not marks:
        return 0
    best = max(marks, key=lambda mark: (len(_terms_from(marks, mark[0], longest - _BEFORE)), -mark[0]))
    start = max(0, min(best[0] - _BEFORE, len(text) - longest))
    blank = text.find(" ", start, best[0])
    return blank + 1 if start and blank >= 0 else start


def _terms_from(marks: list[tuple[int, int, str]], start: int, length: int) -> set[str]:
    return {term for first, last, term in marks if first >= start and last <= start + length}


def _joined(marks: list[tuple[int, int, str]]) -> Spans:
    """Return the marks in order, those that touch or overlap as one."""
    spans: list[tuple[int, int]] = []
    for start, end, _ in sorted(marks):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return tuple(spans)
