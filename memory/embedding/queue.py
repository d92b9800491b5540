"""Vectors to be made: rows of `Embedding` without one, taken in batches by whoever embeds.

A claim is a lease: it moves `available_at` into the future in a transaction of its own, so that no lock is held while a
model works, and a crash gives the batch back when the lease is over. A vector that comes twice changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now
from pgvector import HalfVector

from memory.embedding.ports import Vector
from memory.models import Embedding, EmbeddingModel

#: How long a claimed batch belongs to who claimed it.
LEASE_SECONDS = 120
#: A text that failed so often is left alone until somebody says `reembed`; each wait is twice the one before.
MOST_ATTEMPTS = 8
_FIRST_WAIT_SECONDS = 2


@dataclass(frozen=True)
class Task:
    """A text to be embedded for one row."""

    embedding_id: int
    digest: uuid.UUID
    text: str
    attempts: int


def claim(model: EmbeddingModel, *, limit: int) -> list[Task]:
    """Take up to `limit` passages that lack this model's vector, the longest waiting first."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"model": model.pk, "limit": limit, "lease": LEASE_SECONDS, "most": MOST_ATTEMPTS})
        return [Task(*row) for row in cursor.fetchall()]


def store(tasks: Sequence[Task], vectors: Sequence[Vector]) -> int:
    """Give the rows their vectors; return how many were still there to take one."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE memory_embedding SET vector = made.vector::halfvec, error = ''
            FROM unnest(%s::bigint[], %s::text[]) AS made (id, vector)
            WHERE memory_embedding.id = made.id AND memory_embedding.vector IS NULL
            """,
            [[task.embedding_id for task in tasks], [HalfVector(vector).to_text() for vector in vectors]],
        )
        return int(cursor.rowcount)


def put_off(tasks: Sequence[Task], *, error: str) -> None:
    """Let the rows wait after a failure, longer each time."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE memory_embedding
            SET error = left(%s, 300), available_at = now() + %s * power(2, attempts - 1) * interval '1 second'
            WHERE id = ANY(%s) AND vector IS NULL
            """,
            [error, _FIRST_WAIT_SECONDS, [task.embedding_id for task in tasks]],
        )


@dataclass(frozen=True)
class Progress:
    """How far a model is: passages in all, those without its vector, and of these those that were given up."""

    total: int
    missing: int
    failed: int

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left that could still be made."""
        return self.missing == self.failed


def progress(model: EmbeddingModel) -> Progress:
    """Count where a model stands."""
    rows = Embedding.objects.filter(model=model)
    missing = rows.filter(vector__isnull=True)
    failed = missing.filter(attempts__gte=MOST_ATTEMPTS, available_at__lte=Now())
    return Progress(total=rows.count(), missing=missing.count(), failed=failed.count())


def try_again(model: EmbeddingModel) -> int:
    """Put what was given up back in the queue; return how many."""
    given_up = Q(vector__isnull=True, attempts__gte=MOST_ATTEMPTS)
    return Embedding.objects.filter(given_up, model=model).update(attempts=F("attempts") * 0, available_at=Now())


_CLAIM = """
    WITH taken AS (
        SELECT id FROM memory_embedding
        WHERE model_id = %(model)s AND vector IS NULL AND available_at <= clock_timestamp() AND attempts < %(most)s
        ORDER BY available_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE memory_embedding AS embedding
    SET attempts = embedding.attempts + 1, available_at = now() + %(lease)s * interval '1 second'
    FROM taken, memory_passage AS passage
    WHERE embedding.id = taken.id AND passage.id = embedding.passage_id
    RETURNING embedding.id, embedding.digest,
              CASE WHEN passage.heading = '' THEN passage.text ELSE passage.heading || E'\\n' || passage.text END,
              embedding.attempts
"""
