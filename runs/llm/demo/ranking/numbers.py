"""The number that a question asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runs.llm.demo.words.terms import Term, strong

# How far from what is asked about a number may stand and still be its value; another clause counts as CLAUSE characters.
FURTHEST, CLAUSE = 90, 25

_NUMBER = re.compile(
    r"(?<![\w.:])\d{1,2}:\d\d\b|(?<![\w.:])[$€£¥]?\d(?:[\d,_]*\d)?(?:\.\d+)?(?:\s?(?:%|ms|[smhdx]\b|seconds?|minutes?|hours?|days?|weeks?|[KMG]i?B\b|秒|分钟|小时|天|周|年|次|元|个|条|人|步))?"
)
_TIME = re.compile(r"\d:\d\d|ms|[smhd]\b|second|minute|hour|day|week|(?:19|20)\d\d|秒|分钟|小时|天|周|年")
_NAMED_TIME = re.compile(r"seconds|minutes|hours|days|_ms\b|timedelta|timeout", re.I)


def asked_number(text: str, terms: Iterable[Term], *, timed: bool) -> str:
    """The number that stands nearest to a term in `text`; "" when there is none near. A `timed` one is a time."""
    known = list(terms)
    anchors = [match.span() for term in strong(known) for match in term.find(text)]
    anchors = anchors or [match.span() for term in known for match in term.find(text)]
    numbers = numbers_in(text, timed=timed) or numbers_in(text, timed=False)
    if len(numbers) == 1 and not anchors:
        return numbers[0][0].strip()
    near = [
        (min(_distance(text, number.span(), anchor) for anchor in anchors), number) for number in numbers if anchors
    ]
    distance, nearest = min(near, key=lambda pair: pair[0], default=(FURTHEST, None))
    return nearest[0].strip() if nearest and distance < FURTHEST else ""


def numbers_in(text: str, *, timed: bool) -> list[re.Match[str]]:
    """The numbers in `text`; if `timed`, those that are times by their unit or by the name they are given to."""
    numbers = list(_NUMBER.finditer(text))
    if not timed or _NAMED_TIME.search(text):
        return numbers
    return [number for number in numbers if _TIME.search(number[0])]


def _distance(text: str, number: tuple[int, int], anchor: tuple[int, int]) -> int:
    """A value follows its name more often than it precedes it, and seldom stands in another clause."""
    after = number[0] >= anchor[1]
    between = text[anchor[1] : number[0]] if after else text[number[1] : anchor[0]]
    return len(between) * (1 if after else 2) + CLAUSE * len(re.findall("[;.,|；。，]", between))
