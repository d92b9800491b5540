"""Many passages, made up: how soon something is found among them, and what they cost to keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from django.db import connection

from memory.chunking import Piece
from memory.embedding.ports import Vector, unit
from memory.embedding.serving import serving_model
from memory.models import EmbeddingModel, Passage
from memory.owners import Owner
from memory.writing import Origin, remember

WORDS_EACH = 60
DIMENSIONS = 256  # the `hash` model's, for which these vectors stand in
_CONSONANTS, _VOWELS = "bcdfghklmnprstvwz", "aeiou"
_VOCABULARY = 30_000
_TOPICS = 400
_LANGUAGE = 7


class Author:
    """Writes texts whose words are as unevenly frequent as a language's, the same for the same seed."""

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(_LANGUAGE)  # all authors write in the same words, of the same topics
        self._words = [self._word() for _ in range(_VOCABULARY)]
        shares = 1 / (np.arange(_VOCABULARY) + 2.7) ** 1.05
        self._cumulative = np.cumsum(shares / shares.sum())
        self._topics = self._random.normal(size=(_TOPICS, DIMENSIONS))
        self._random = np.random.default_rng(seed)

    def text(self, words: int = WORDS_EACH) -> str:
        """A text of so many words."""
        chosen = np.searchsorted(self._cumulative, self._random.random(words))
        return " ".join(self._words[min(at, _VOCABULARY - 1)] for at in chosen)

    def vector(self) -> Vector:
        """A vector near one of the topics, as real ones are."""
        topic = self._topics[self._random.integers(_TOPICS)]
        return unit((topic + 0.8 * self._random.normal(size=DIMENSIONS)).astype(np.float32))

    def _word(self) -> str:
        syllables = self._random.integers(2, 5)
        letters = ((_CONSONANTS, _VOWELS) for _ in range(syllables))
        return "".join(part[self._random.integers(len(part))] for pair in letters for part in pair)


def write(author: Author, owner: Owner, *, documents: int, parts: int) -> None:
    """Let the owner remember so many documents of so many passages each."""
    for _ in range(documents):
        pieces, at = [], 0
        for _ in range(parts):
            text = author.text()
            pieces.append(Piece(text, at, at + len(text)))
            at += len(text) + 1
        remember(owner=owner, tier="archival", text=" ".join(p.text for p in pieces), origin=Origin(), pieces=pieces)


def give_vectors(author: Author) -> EmbeddingModel:
    """Give every passage a made-up vector, as quickly as rows can be written."""
    model = serving_model()
    EmbeddingModel.objects.filter(pk=model.pk).update(dimensions=DIMENSIONS)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE made (passage_id bigint PRIMARY KEY, vector halfvec)")
        lacking = list(Passage.objects.filter(embeddings__vector__isnull=True).values_list("pk", flat=True))
        with cursor.copy("COPY made FROM STDIN") as copy:
            for passage_id in lacking:
                copy.write_row((passage_id, "[" + ",".join(f"{x:.4f}" for x in author.vector()) + "]"))
        cursor.execute(
            "UPDATE memory_embedding SET vector = made.vector FROM made WHERE made.passage_id = memory_embedding.passage_id"
        )
        cursor.execute("DROP TABLE made")
        cursor.execute("VACUUM ANALYZE memory_embedding, memory_words, memory_term, memory_passage, memory_memory")
    model.refresh_from_db()
    return model


def timed(search: Callable[[str], object], queries: list[str]) -> list[float]:
    """Return what each query took, in milliseconds, in order of time; the first ones warm up and don't count."""
    for query in queries[:3]:
        search(query)
    return sorted(_milliseconds(lambda: search(query)) for query in queries)  # noqa: B023  called at once


def percentile(times: list[float], share: float) -> float:
    """Return the time that so large a share of them kept below."""
    return times[min(len(times) - 1, int(len(times) * share))]


def _milliseconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


@contextmanager
def wal_written() -> Iterator[Callable[[], int]]:
    """How many bytes of WAL were written since the block began (by everybody on this server)."""
    begun = _wal_position()
    yield lambda: _wal_position() - begun


def _wal_position() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        return int(cursor.fetchone()[0])
