"""What search reads: put there with a memory, taken away with it, in the same transaction.

The caller holds the shelf's lock (`writing.lock_shelves`), so a shelf's statistics are exact: `passages` and `words` of
the shelf, and in how many of its passages each term stands.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import md5

from django.db import connection
from django.db.models import F
from pgvector import SparseVector

from memory import terms
from memory.embedding import serving
from memory.models import Embedding, Passage, Shelf, Words

#: BM25's saturation: how soon a further occurrence of a word adds nothing.
K1 = 1.2
#: Rung when there are vectors to make.
EMBED = "openintern_embed"


def put(shelf: Shelf, passages: Sequence[Passage]) -> None:
    """Let searches find the passages: by their words from the commit on, by meaning when the embedder has been there."""
    if not passages:
        return
    counts = [terms.counted(with_heading(passage)) for passage in passages]
    rows = [_words(shelf, passage, count) for passage, count in zip(passages, counts, strict=True)]
    Words.objects.bulk_create(rows)
    _count_terms(shelf, Counter(number for count in counts for number in {terms.number(term) for term in count}))
    _count(shelf, passages=len(rows), words=sum(row.length for row in rows))
    _ask_for_vectors(shelf, passages)


def take(shelf: Shelf, memory_ids: Collection[uuid.UUID]) -> None:
    """Let no search find the memories' passages any more. The passages themselves stay."""
    found = Words.objects.filter(passage__memory_id__in=memory_ids, shelf=shelf)
    gone = list(found)
    if not gone:
        return
    _count_terms(shelf, Counter(place + 1 for row in gone for place in row.terms.indices()), sign=-1)
    _count(shelf, passages=-len(gone), words=-sum(row.length for row in gone))
    Embedding.objects.filter(passage__memory_id__in=memory_ids).delete()
    found.delete()


def with_heading(passage: Passage) -> str:
    """Return what is indexed of a passage: a heading says what its sentences leave out."""
    return f"{passage.heading}\n{passage.text}" if passage.heading else passage.text


def digest(text: str) -> uuid.UUID:
    """Return 128 bits that stand for `text`; PostgreSQL's md5 gives the same, and nobody's safety hangs on it."""
    return uuid.UUID(bytes=md5(text.encode(), usedforsecurity=False).digest())


def saturated(count: int) -> float:
    """Return what `count` occurrences weigh before the passage's length is looked at."""
    return count * (K1 + 1) / (count + K1)


def _words(shelf: Shelf, passage: Passage, count: Counter[str]) -> Words:
    weights = {terms.number(term) - 1: saturated(times) for term, times in count.items()}  # SparseVector counts from 0
    return Words(passage=passage, shelf=shelf, length=count.total(), terms=SparseVector(weights, terms.NUMBERS))


def _count_terms(shelf: Shelf, counts: Counter[int], *, sign: int = 1) -> None:
    """Add to (or take from) the number of passages that each term stands in."""
    ordered = sorted(counts)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO memory_term (term, shelf_id, passages)
            SELECT term, %s, passages FROM unnest(%s::int[], %s::int[]) AS new (term, passages)
            ON CONFLICT (term, shelf_id) DO UPDATE SET passages = memory_term.passages + %s * excluded.passages
            """,
            [shelf.pk, ordered, [counts[term] for term in ordered], sign],
        )
        if sign < 0:
            cursor.execute(
                "DELETE FROM memory_term WHERE shelf_id = %s AND term = ANY(%s::int[]) AND passages = 0",
                [shelf.pk, ordered],
            )


def _count(shelf: Shelf, *, passages: int, words: int) -> None:
    Shelf.objects.filter(pk=shelf.pk).update(passages=F("passages") + passages, words=F("words") + words)


def _ask_for_vectors(shelf: Shelf, passages: Sequence[Passage]) -> None:
    """Leave a row for each vector to be made; where the same text was embedded before, its vector is taken."""
    models = serving.models_to_fill()
    rows = [
        Embedding(passage=passage, model=model, shelf=shelf, digest=digest(with_heading(passage)))
        for model in models
        for passage in passages
    ]
    Embedding.objects.bulk_create(rows)
    ids = [row.pk for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_KNOWN_VECTORS, [ids])
        cursor.execute("SELECT pg_notify(%s, current_schema())", [EMBED])


_TAKE_KNOWN_VECTORS = """
    UPDATE memory_embedding AS new SET vector = known.vector FROM memory_embedding AS known
    WHERE new.id = ANY(%s) AND known.digest = new.digest AND known.model_id = new.model_id AND known.vector IS NOT NULL
"""
