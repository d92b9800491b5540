"""How soon, how rightly and how cheaply, from a hundred passages to a hundred thousand."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import QuerySet
from pgvector import HalfVector

from memory.bench import scale
from memory.bench.scale import Author, Near
from memory.embedding.serving import serving_model
from memory.models import EmbeddingModel, Shelf
from memory.owners import Owner
from memory.search.finding import SETTINGS, Extent, search_shelves
from memory.search.statement import EXACT_PASSAGES, PER_ARM, VectorArm, vector_arm
from openintern.bench import Figure

_BEST = 10
_OWNERS_PASSAGES = 600


@dataclass(frozen=True)
class Size:
    """How many passages there are when an owner is searched, and when all are; and how often is asked."""

    among: int
    whole: int
    questions: int


FULL = Size(among=50_000, whole=100_000, questions=200)
QUICK = Size(among=4_000, whole=6_000, questions=30)


def measure(size: Size) -> Iterator[Figure]:
    """Write, search and compare, in an organisation that remembers nothing yet."""
    author = Author()
    scale.use_made_up_vectors(author)
    owner = Owner(board="owner")
    steps = [number for number in (100, 1_000, 10_000) if number < size.among / 2]
    scale.write(author, owner, passages=_OWNERS_PASSAGES)
    for step in steps:
        scale.write(author, Owner(board=f"of-{step}"), passages=step)
    written = _OWNERS_PASSAGES + sum(steps)
    yield from _writing(author, passages=size.among - written)
    scale.give_vectors(author)
    yield from _time(
        f"an owner of {_OWNERS_PASSAGES} among {size.among:,}", Shelf.objects.filter(board="owner"), size, bar=25
    )
    scale.write(author, Owner(board="others-2"), passages=size.whole - size.among)
    scale.give_vectors(author)
    for step in steps:
        yield from _index_against_exact(author, Shelf.objects.filter(board=f"of-{step}"), size)
    others = Shelf.objects.filter(board__startswith="others")
    yield from _index_against_exact(author, others.filter(board="others-2"), size)
    yield from _index_against_exact(author, Shelf.objects.all(), size)
    yield from _time(f"all of {size.whole:,}", Shelf.objects.all(), size, bar=120)
    yield from _kept(size)


def _writing(author: Author, *, passages: int) -> Iterator[Figure]:
    """What it takes to write most of them: time, memory, transactions, WAL."""
    before, transactions, begun = _peak_memory(), scale.transactions_written(), time.perf_counter()
    with scale.wal_written() as wal:
        scale.write(author, Owner(board="others-1"), passages=passages)
        taken, bytes_written = time.perf_counter() - begun, wal()
    drawn = scale.transactions_written() - transactions
    documents = -(-passages // 50)
    yield Figure(
        name="ingest, searchable by words", value=passages / taken, unit="passages/s", bar=200, more_is_better=True
    )
    yield Figure(name="ingest: growth of the process", value=(_peak_memory() - before) / 2**20, unit="MB", bar=64)
    yield Figure(
        name="write transactions per document", value=drawn / documents, unit="", bar=1.05, note="of 50 passages"
    )
    yield Figure(name="WAL per passage", value=bytes_written / passages, unit="bytes", note=f"{scale.WORDS_EACH} words")


def _time(name: str, shelves: QuerySet[Shelf], size: Size, *, bar: float) -> Iterator[Figure]:
    """The time that somebody waits, and the processor's time that the database needs, which no neighbour disturbs."""
    questions = _questions(size.questions)
    times = scale.timed(lambda query: search_shelves(shelves, query), questions)
    note = f"p50 {times.percentile(0.5):.0f} ms, without the embedding"
    yield Figure(name=f"search p95, {name}", value=times.percentile(0.95), unit="ms", bar=bar, note=note)
    with scale.processor_time() as used:
        for query in questions[:20]:
            search_shelves(shelves, query)
    yield Figure(name=f"search, {name}: processor time of the database", value=used() / 20, unit="ms", note="one core")


def _questions(number: int) -> list[str]:
    asker = Author(seed=11)
    return [asker.text(words=8) for _ in range(number)]


def _index_against_exact(author: Author, shelves: QuerySet[Shelf], size: Size) -> Iterator[Figure]:
    """How many of the nearest the vector arm finds, and whether it ever brings fewer than there are."""
    model, near = serving_model(), Near.of(list(shelves.values_list("pk", flat=True)))
    found = fewest = 0
    fewest = PER_ARM
    asked = size.questions // 2
    for _ in range(asked):
        vector = author.vector()
        ids = _nearest(shelves, model, HalfVector(vector).to_text())
        found += len(near.nearest(vector, _BEST) & set(ids[:_BEST]))
        fewest = min(fewest, len(ids))
    there = len(near.ids)
    way = "index" if model.is_indexed and there > EXACT_PASSAGES else "exact"
    expected = min(_BEST, there) * asked
    name = f"vector arm, {there:,} of {_all():,} in scope"
    yield Figure(
        name=f"{name}: recall@10 against exact",
        value=found / expected,
        unit="",
        bar=0.98,
        more_is_better=True,
        note=way,
    )
    yield Figure(
        name=f"{name}: fewest rows", value=fewest, unit="", bar=min(PER_ARM, there), more_is_better=True, enforced=True
    )


def _nearest(shelves: QuerySet[Shelf], model: EmbeddingModel, vector: str) -> Sequence[int]:
    """What the arm brings, the nearest first."""
    arm, there = VectorArm(model.pk, dimensions=scale.DIMENSIONS, is_indexed=model.is_indexed), Extent.of(shelves)
    statement = f"""
        WITH arm AS ({vector_arm(arm, "passage_id IS NOT NULL", is_large=there.is_large)})
        SELECT passage_id FROM arm JOIN memory_embedding USING (passage_id) ORDER BY vector <#> %(vector)s::halfvec
    """  # noqa: S608  our own SQL
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SETTINGS)
        cursor.execute(statement, {**there.parameters(), "vector": vector, "per_arm": PER_ARM})
        return [passage_id for (passage_id,) in cursor.fetchall()]


def _kept(size: Size) -> Iterator[Figure]:
    """What is kept for each passage: rows, and each index by name."""
    kept = scale.sizes()
    indexes = {name: held for name, held in kept.items() if name not in connection.introspection.table_names()}
    there = _all()
    rows = sum(held for name, held in kept.items() if name not in indexes)
    yield Figure(name="rows per passage", value=rows / there, unit="bytes", note="text, words, vector")
    yield Figure(name="indexes per passage", value=sum(indexes.values()) / there, unit="bytes")
    for name, held in sorted(indexes.items(), key=lambda each: -each[1]):
        if held / there >= 1:
            yield Figure(name=f"  {name}", value=held / there, unit="bytes")


def _all() -> int:
    return sum(Shelf.objects.values_list("passages", flat=True))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
