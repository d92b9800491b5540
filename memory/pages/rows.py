"""A memory as a line of a list: what of its text is shown, what in it is marked, and where it leads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Left
from django.urls import NoReverseMatch

from memory.browsing import BEGINNING
from memory.models import Memory
from memory.search import Explanation, Hit, Quote
from openintern.pages import address


@dataclass(frozen=True)
class Shown:
    """A part of a memory: its text in pieces, each marked or not, and where in the source it stands."""

    pieces: tuple[tuple[str, bool], ...]
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True)
class Row:
    """A memory in a list."""

    memory: Memory
    shown: tuple[Shown, ...]
    trace_url: str
    score: float | None = None
    explanation: Explanation | None = None


def of_list(memories: Iterable[Memory]) -> list[Row]:
    """Return lines for memories that carry their `beginning`."""
    return [Row(memory, (_beginning(memory),), trace_url(memory)) for memory in memories]


def of_hits(hits: Sequence[Hit]) -> list[Row]:
    """Return lines for hits, with whose they are: one query for all."""
    rows = Memory.objects.filter(pk__in=[hit.id for hit in hits]).select_related(
        "shelf__user", "shelf__project", "author"
    )
    by_id = {memory.pk: memory for memory in rows.annotate(beginning=Left("text", BEGINNING)).defer("text")}
    return [_of_hit(by_id[hit.id], hit) for hit in hits if hit.id in by_id]


def trace_url(memory: Memory) -> str:
    """Return where the run can be looked at, from the event on that the memory came from; "" if it came from none."""
    if not memory.run_id:
        return ""
    place = {} if memory.event_seq is None else {"view": "events", "cursor": max(memory.event_seq - 1, 0)}
    try:
        url = address("trace", memory.run_id, **place)
    except NoReverseMatch:  # a run of another installation
        return ""
    return url if memory.event_seq is None else f"{url}#event-{memory.event_seq}"


def pieces(text: str, highlights: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Yield the text in order, what is highlighted apart from what isn't."""
    at = 0
    for start, end in highlights:
        if start > at:
            yield text[at:start], False
        yield text[start:end], True
        at = end
    if at < len(text):
        yield text[at:], False


def _of_hit(memory: Memory, hit: Hit) -> Row:
    shown = tuple(_quoted(quote) for quote in hit.quotes)
    return Row(memory, shown, trace_url(memory), score=hit.score, explanation=hit.explanation)


def _quoted(quote: Quote) -> Shown:
    return Shown(tuple(pieces(quote.snippet, quote.highlights)), heading=quote.heading, page=quote.page)


def _beginning(memory: Any) -> Shown:
    text = memory.beginning
    return Shown(((text if len(text) < BEGINNING else f"{text}…", False),))
