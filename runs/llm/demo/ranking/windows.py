"""Where to read: the ranges of lines in which most of the question comes together."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from runs.llm.demo.ranking.form import OPENING, opens_with
from runs.llm.demo.ranking.numbers import numbers_in
from runs.llm.demo.ranking.weights import Weights, most, prior
from runs.llm.demo.text.reading import is_prose
from runs.llm.demo.wishes import Kind

MOST_HITS = 3000
WINDOW_LINES = {True: 12, False: 24}  # of prose, whose lines are long and wrapped; of code
MOST_READS = 5
MOST_READS_OF_A_FILE = 3


@dataclass(frozen=True)
class Hit:
    path: str
    line: int
    text: str


@dataclass(frozen=True)
class Window:
    path: str
    start: int
    end: int
    score: float
    covered: float  # the share of what was asked that stands in it, 0 to 1


def best_windows(hits: Iterable[Hit], *, files: Iterable[str], weights: Weights, kind: Kind) -> list[Window]:
    """The few ranges of lines most worth reading, best first, apart from each other."""
    by_path: dict[str, dict[int, str]] = defaultdict(dict)
    for hit in islice(hits, MOST_HITS):
        # Searches show a long line each around its own match: together they show more of it.
        known = by_path[hit.path].get(hit.line, "")
        if hit.text not in known:
            by_path[hit.path][hit.line] = f"{known} {hit.text}" if known else hit.text
    candidates = [window for path, lines in by_path.items() for window in _windows(path, lines, weights, kind)]
    candidates += _windows_by_name(files, weights, kind)
    return _apart(sorted(candidates, key=lambda window: (-window.score, window.path, window.start)))


def _windows(path: str, lines: dict[int, str], weights: Weights, kind: Kind) -> Iterable[Window]:
    strengths = {number: weights.strengths(text) for number, text in lines.items()}
    in_path = weights.in_path(path)
    numbers = sorted(number for number in lines if any(strengths[number]))
    width = WINDOW_LINES[is_prose(path)]
    for index, start in enumerate(numbers):
        inside = numbers[index : bisect_left(numbers, start + width)]
        best = most(in_path, *(strengths[number] for number in inside))
        densest = max(weights.sum(strengths[number]) for number in inside)
        opening = max((weights.sum(strengths[n]) for n in inside if OPENING.match(lines[n])), default=0.0)
        about = 0.3 * weights.total if any(opens_with(lines[n], weights) for n in inside) else 0.0
        valued = max((weights.sum(strengths[n]) for n in inside if _has_value(lines[n], kind)), default=0.0)
        score = weights.sum(best) + 0.5 * densest + 0.4 * opening + 0.4 * valued + about
        yield Window(path, start, inside[-1], score * prior(path, weights, kind), weights.sum(best) / weights.total)


def _has_value(line: str, kind: Kind) -> bool:
    return kind in {Kind.NUMBER, Kind.TIME} and bool(numbers_in(line, timed=kind is Kind.TIME))


def _windows_by_name(files: Iterable[str], weights: Weights, kind: Kind) -> Iterable[Window]:
    """A file whose name is asked about is worth a look at its head, whatever stands in it."""
    for path in files:
        name = PurePosixPath(path).stem
        strengths = [s if t.is_strong else 0.0 for s, t in zip(weights.strengths(name), weights.terms, strict=True)]
        if any(strengths) or weights.names(path):
            score = 0.9 * weights.sum(strengths) + (0.3 * weights.total if weights.names(path) else 0.0)
            covered = weights.sum(strengths) / weights.total
            yield Window(path, 1, 1, score * prior(path, weights, kind), covered)


def _apart(windows: list[Window]) -> list[Window]:
    chosen: list[Window] = []
    for window in windows:
        same_file = [other for other in chosen if other.path == window.path]
        touching = any(window.start <= other.end + 30 and other.start <= window.end + 30 for other in same_file)
        if not touching and len(same_file) < MOST_READS_OF_A_FILE:
            chosen.append(window)
        if len(chosen) == MOST_READS:
            break
    return [window for window in chosen if window.score >= 0.3 * chosen[0].score]
