"""Many passages, made up: how soon something is found among them, what the index misses, and what they cost to keep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from memory.chunking import Piece
from memory.embedding import moving
from memory.embedding.ports import Vector, provide, unit
from memory.embedding.serving import serving_model
from memory.models import EmbeddingModel, Passage
from memory.owners import Owner
from memory.writing import Origin, remember

MODEL = "made-up"
WORDS_EACH = 60
DIMENSIONS = 384  # as the default model's
_CONSONANTS, _VOWELS = "bcdfghklmnprstvwz", "aeiou"
_VOCABULARY = 30_000
_TOPICS = 400
_LANGUAGE = 7


class Author:
    """Writes texts whose words are as unevenly frequent as a language's, the same for the same seed.

    It is also a model: the vector that it gives a text is near one of the topics, as real ones are.
    """

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
        """The vector of one text."""
        topic = self._topics[self._random.integers(_TOPICS)]
        return unit((topic + 0.8 * self._random.normal(size=DIMENSIONS)).astype(np.float32))

    def query(self, text: str) -> Vector:
        return self.vector()

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [self.vector() for _ in texts]

    def _word(self) -> str:
        syllables = self._random.integers(2, 5)
        letters = ((_CONSONANTS, _VOWELS) for _ in range(syllables))
        return "".join(part[self._random.integers(len(part))] for pair in letters for part in pair)


def use_made_up_vectors(author: Author) -> None:
    """Let this organisation, which remembers nothing yet, embed with the author."""
    provide(MODEL, author)
    EmbeddingModel.objects.create(name=MODEL, state=EmbeddingModel.State.SERVING, dimensions=DIMENSIONS)


def write(author: Author, owner: Owner, *, passages: int, parts: int = 50) -> None:
    """Let the owner remember so many passages, in documents of so many each."""
    for first in range(0, passages, parts):
        pieces, at = [], 0
        for _ in range(min(parts, passages - first)):
            text = author.text()
            pieces.append(Piece(text, at, at + len(text)))
            at += len(text) + 1
        remember(owner=owner, tier="archival", text=" ".join(p.text for p in pieces), origin=Origin(), pieces=pieces)


def give_vectors(author: Author) -> EmbeddingModel:
    """Give every passage that lacks one a made-up vector, as quickly as rows can be written; index them if they are many."""
    model = serving_model()
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
    moving.index_if_large(model)
    model.refresh_from_db()
    return model


@dataclass(frozen=True)
class Near:
    """All vectors of some shelves, compared without an index."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]

    @classmethod
    def of(cls, shelves: Sequence[int]) -> Near:
        """Read them."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT passage_id, vector::real[] FROM memory_embedding WHERE shelf_id = ANY(%s) AND vector IS NOT NULL",
                [list(shelves)],
            )
            rows = cursor.fetchall()
        return cls(np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=np.float32))

    def nearest(self, vector: Vector, most: int) -> set[int]:
        """The ids of the nearest."""
        return {int(self.ids[at]) for at in np.argsort(-(self.vectors @ vector))[:most]}


@dataclass(frozen=True)
class Times:
    """What searches took, in milliseconds."""

    taken: tuple[float, ...]

    @cached_property
    def ordered(self) -> list[float]:
        """The quickest first."""
        return sorted(self.taken)

    def percentile(self, share: float) -> float:
        """The time that so large a share of them kept below."""
        return self.ordered[min(len(self.ordered) - 1, int(len(self.ordered) * share))]


def timed(search: Callable[[str], object], queries: Sequence[str]) -> Times:
    """Ask each query once; the first ones are asked before, too, to warm up."""
    for query in queries[:3]:
        search(query)
    return Times(tuple(_milliseconds(search, query) for query in queries))


def _milliseconds(search: Callable[[str], object], query: str) -> float:
    begun = time.perf_counter()
    search(query)
    return (time.perf_counter() - begun) * 1000


@contextmanager
def processor_time() -> Iterator[Callable[[], float]]:
    """Milliseconds of a processor that our connection's server process used since the block began, all work in it alone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = int(cursor.fetchone()[0])
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        begun = _processor_milliseconds(pid)
        yield lambda: _processor_milliseconds(pid) - begun
        cursor.execute("RESET max_parallel_workers_per_gather")


def _processor_milliseconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


@contextmanager
def wal_written() -> Iterator[Callable[[], int]]:
    """How many bytes of WAL were written since the block began (by everybody on this server)."""
    begun = _wal_position()
    yield lambda: _wal_position() - begun


def _wal_position() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")
        return int(cursor.fetchone()[0])


def transactions_written() -> int:
    """How many transactions have written since the server began: those that drew a number."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def sizes() -> dict[str, int]:
    """Bytes of this organisation's tables of memories, and of each of their indexes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT relname, CASE relkind WHEN 'r' THEN pg_table_size(oid) ELSE pg_relation_size(oid) END
            FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'i')
              AND relname LIKE 'memory\\_%%'
            """.replace("%%", "%")
        )
        return dict(cursor.fetchall())
