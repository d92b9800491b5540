"""What a search is asked for, and what it finds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Filters:
    """What a memory must be to be looked at; nothing given means anything. They hold inside the arms."""

    source_types: tuple[str, ...] = ()
    run_id: str = ""
    document: str = ""
    thread: str = ""
    since: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether everything passes."""
        return self == Filters()


@dataclass(frozen=True)
class Quote:
    """A passage that speaks for a hit. `highlights` are `(start, end)` in `snippet`, for whoever shows it to mark."""

    passage_id: int
    snippet: str
    highlights: tuple[tuple[int, int], ...]
    start: int
    end: int
    heading: str
    page: int | None
    anchor: str
    score: float


@dataclass(frozen=True)
class Explanation:
    """Why a hit is where it is: each part as it entered the score.

    `words` is BM25 and `similarity` the cosine, `None` where there is no vector yet; `words_part` and `vector_part` are
    what they came to after normalising, weighing and lifting by neighbours (`lift`); `prior` is what importance and age
    made of their sum.
    """

    words: float
    similarity: float | None
    words_part: float
    vector_part: float
    lift: float
    prior: float
    passage_id: int


@dataclass(frozen=True)
class Hit:
    """A memory that was found, once, with its best passages first."""

    id: uuid.UUID
    tier: str
    owner: str
    score: float
    text: str
    quotes: tuple[Quote, ...]
    metadata: dict[str, Any]
    importance: float
    trust: str
    source_type: str
    document: str
    run_id: str
    event_seq: int | None
    created_at: datetime
    explanation: Explanation | None = None

    @property
    def snippet(self) -> str:
        """The best passage's."""
        return self.quotes[0].snippet

    @property
    def telling(self) -> str:
        """What to read of it: a short memory as it is, of a long one the passages that were found."""
        if len(self.quotes) == 1 and self.quotes[0].end <= len(self.text):
            return self.text
        return " […] ".join(quote.snippet for quote in self.quotes)


@dataclass(frozen=True)
class Answer:
    """Hits, best first; `missing_vectors` passages in scope could only be found by their words so far."""

    hits: tuple[Hit, ...]
    missing_vectors: int
    searched: int
