"""What each term of a question is worth in this workspace, and how far each file is to be believed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from runs.llm.demo.text.reading import LONGEST_LINE, is_code, is_prose, is_test
from runs.llm.demo.wishes import Kind
from runs.llm.demo.words.terms import Term

TOGETHER_CREDIT = 0.4  # of two words that stand side by side as they do in the question
PATH_CREDIT = 0.4
RARE_KIN, COMMON_KIN = 0.5, 0.2
WELL_FOUND = 5  # lines; a word that stands on more is asked about itself, not its relatives


_DOUBTFUL = (
    (re.compile(r"\block\b|-lock|\.min\.|\.(?:map|po|svg|csv|ipynb)$|egg-info|dist-info"), 0.3),
    (re.compile("changelog|history"), 0.7),
    (re.compile("^(?:licen[cs]e|copying|notice)"), 0.5),
)
_GUIDE = re.compile("readme|install|quickstart|getting.started|usage|guide|contributing|makefile")
_SETTINGS = re.compile("conf|settings|default|constant")


@dataclass(frozen=True)
class Weights:
    """What each term is worth in this workspace: its own weight times its rarity."""

    terms: tuple[Term, ...]
    worth: tuple[float, ...]
    kin: tuple[float, ...]  # the strength of a relative: little where the word itself is common
    files: tuple[str, ...] = ()  # paths that the question names
    language: str = "en"
    pairs: tuple[tuple[re.Pattern[str], float], ...] = ()  # neighbours in the question, and what they add together

    @property
    def total(self) -> float:
        return sum(self.worth) or 1.0

    def strengths(self, text: str) -> tuple[float, ...]:
        text = text[:LONGEST_LINE]
        return tuple(term.strength(text, kin=kin) for term, kin in zip(self.terms, self.kin, strict=True))

    def sum(self, strengths: Iterable[float]) -> float:
        return sum(worth * strength for worth, strength in zip(self.worth, strengths, strict=True))

    def stands_in(self, text: str) -> bool:
        """Whether a term that says what the question is about stands in `text`, itself and not by a relative."""
        return any(term.is_strong and term.strength(text) == 1.0 for term in self.terms)

    def together(self, text: str) -> float:
        return sum(worth for pair, worth in self.pairs if pair.search(text[:LONGEST_LINE]))

    def in_path(self, path: str) -> tuple[float, ...]:
        return tuple(PATH_CREDIT * strength for strength in self.strengths(path.replace("/", " ")))

    def names(self, path: str) -> bool:
        """Whether the question itself names this file."""
        return any(path == name or path.endswith(f"/{name}") for name in self.files)


def weigh(
    terms: list[Term], *, totals: dict[str, int], searched: int, files: tuple[str, ...] = (), language: str = "en"
) -> Weights:
    """Rarity as in BM25, over lines: `totals` is how many lines each term's label was found on."""
    lines = max(50 * searched, 2 * max(totals.values(), default=0), 200)
    worth = tuple(term.weight * math.log(1 + lines / (totals.get(term.label, 0) + 1)) for term in terms)
    kin = tuple(COMMON_KIN if totals.get(term.label, 0) > WELL_FOUND or term.weight < 1 else RARE_KIN for term in terms)
    return Weights(tuple(terms), worth, kin, files, language, tuple(_pairs(terms, worth)))


def _pairs(terms: list[Term], worth: tuple[float, ...]) -> Iterable[tuple[re.Pattern[str], float]]:
    for index, (first, second) in enumerate(pairwise(terms)):
        if second.adjoins:
            pattern = re.compile(rf"(?:{first.forms})[\s_.-]{{0,2}}(?:{second.forms})", re.IGNORECASE | re.ASCII)
            yield pattern, TOGETHER_CREDIT * min(worth[index : index + 2])


def prior(path: str, weights: Weights, kind: Kind) -> float:
    """How far a kind of file is to be believed on a kind of question."""
    if weights.names(path):
        return 3.0
    name = PurePosixPath(path).name.lower()
    factor = next((factor for pattern, factor in _DOUBTFUL if pattern.search(name)), 1.0)
    if is_test(path):
        factor *= 0.5
    if kind in {Kind.NUMBER, Kind.TIME} and _SETTINGS.search(name):
        factor *= 1.25
    if kind is Kind.HOWTO:
        factor *= 1.4 if _GUIDE.search(name) else 0.8 if is_code(path) else 1.0
    if kind is Kind.WHERE:
        return factor * (1.15 if is_code(path) else 1.0)
    return factor * (1.15 if is_prose(path) else 1.0)


def most(*strengths: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(max(column) for column in zip(*strengths, strict=True))


def scaled(strengths: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(factor * strength for strength in strengths)
