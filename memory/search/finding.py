"""Finding memories: what is asked, turned into the statement's parameters, and its rows into hits."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from pgvector import HalfVector

from memory import terms
from memory.models import Memory, Passage, Shelf, Tier
from memory.search import snippets, weights
from memory.search.hits import Answer, Explanation, Filters, Hit, Quote
from memory.search.question import Question
from memory.search.statement import EXACT_PASSAGES, PER_ARM, VectorArm, compose
from openintern.errors import Invalid, NotFound
from openintern.tenancy.scope import Scope

#: Different terms of a query that are looked up; of these the rarest count.
_LOOKED_UP = 1_000
MOST_HITS = 100
#: How much more an arm brings when what it brought is of too few memories.
_WIDER = 8
#: Characters of a memory that a hit carries; the whole is a `find_memory` away.
_TEXT = 2_000
_ALL_TIERS = tuple(Tier.values)


def search(
    scope: Scope,
    query: str,
    *,
    limit: int = 10,
    tiers: Iterable[str] = _ALL_TIERS,
    board: str = "",
    agent: str = "",
    filters: Filters | None = None,
    explain: bool = False,
) -> Answer:
    """Return what `scope` may see of what answers `query`, best first, each memory once.

    `query` is plain text whatever it holds. A board's and an agent instance's memories are searched when they are named
    (see `Shelf.objects.for_scope`). Never fewer hits than there are memories, up to `limit`.
    """
    shelves: Any = Shelf.objects
    visible = shelves.for_scope(scope, board=board, agent=agent).filter(tier__in=_known(tiers))
    return search_shelves(visible, query, limit=limit, filters=filters, explain=explain)


def search_as_member(
    scope: Scope, query: str, *, board: str, agent: str, limit: int = 10, tiers: Iterable[str] = _ALL_TIERS
) -> Answer:
    """Return what answers `query` of that which a member of a team may see (see `Shelf.objects.for_member`)."""
    shelves: Any = Shelf.objects
    visible = shelves.for_member(scope, board=board, agent=agent).filter(tier__in=_known(tiers))
    return search_shelves(visible, query, limit=limit)


def search_shelves(
    shelves: QuerySet[Shelf],
    query: str,
    *,
    limit: int = 10,
    filters: Filters | None = None,
    explain: bool = False,
    vectors: bool = True,
) -> Answer:
    """Search some shelves, whoever asks: for those who have settled that already (`search`, `recall`)."""
    question = Question.of(query, vectors=vectors)
    return search_extent(
        Extent.of(shelves.filter(passages__gt=0)), question, limit=limit, filters=filters, explain=explain
    )


def search_extent(
    there: Extent, question: Question, *, limit: int, filters: Filters | None = None, explain: bool = False
) -> Answer:
    """Search what is there: for those who have looked that up already."""
    if not there.passages:
        return Answer(hits=(), missing_vectors=0, searched=0)
    *found, summary = _rows(there, question, limit=max(1, min(limit, MOST_HITS)), filters=filters)
    return Answer(
        hits=tuple(_hit(row, wanted=question.telling_terms, explain=explain) for row in found),
        missing_vectors=summary["missing"],
        searched=there.passages,
    )


def find_memory(scope: Scope, memory_id: uuid.UUID | str, *, board: str = "", agent: str = "") -> Memory:
    """Return one memory that `scope` may see and that wasn't forgotten. Raises NotFound."""
    memories: Any = Memory.objects
    return _one(memories.for_scope(scope, board=board, agent=agent), memory_id)


def find_as_member(scope: Scope, memory_id: uuid.UUID | str, *, board: str, agent: str) -> Memory:
    """Return one memory that a member of a team may see and that wasn't forgotten. Raises NotFound."""
    shelves: Any = Shelf.objects
    return _one(Memory.objects.filter(shelf__in=shelves.for_member(scope, board=board, agent=agent)), memory_id)


def _one(memories: QuerySet[Memory], memory_id: uuid.UUID | str) -> Memory:
    visible = memories.filter(forgotten_at__isnull=True)
    try:
        found: Memory = visible.select_related("shelf").get(pk=uuid.UUID(str(memory_id)))
    except (ValueError, Memory.DoesNotExist):
        raise NotFound("Memory") from None
    return found


def _known(tiers: Iterable[str]) -> list[str]:
    asked = list(tiers)
    for tier in asked:
        if tier not in _ALL_TIERS:
            raise Invalid("tiers", f"There is no tier {tier!r}: it is one of {', '.join(_ALL_TIERS)}")
    return asked or list(_ALL_TIERS)


@dataclass(frozen=True)
class Extent:
    """The shelves in scope, and how much is on them."""

    shelves: tuple[int, ...]
    passages: int
    words: int

    @classmethod
    def of(cls, shelves: Iterable[Shelf]) -> Extent:
        """Add up those that hold anything."""
        filled = sorted((shelf for shelf in shelves if shelf.passages), key=lambda shelf: shelf.pk)
        return cls(
            tuple(shelf.pk for shelf in filled),
            passages=sum(shelf.passages for shelf in filled),
            words=sum(shelf.words for shelf in filled),
        )

    @property
    def is_large(self) -> bool:
        """Whether it is beyond what is compared one by one."""
        return self.passages > EXACT_PASSAGES

    def parameters(self) -> dict[str, Any]:
        """What the statement wants to know of it."""
        mean_length = max(self.words / max(self.passages, 1), 1.0)
        return {"shelves": list(self.shelves), "passages": self.passages, "mean_length": mean_length}


def _rows(there: Extent, question: Question, *, limit: int, filters: Filters | None) -> list[dict[str, Any]]:
    """Run the statement; the last row says how much there was to search.

    A long document can fill an arm alone. Where that leaves fewer memories than asked for, and the word arm, which brings
    everything in the end, hasn't brought all, it is asked for more.
    """
    statement, parameters = prepare(there, question, limit=limit, filters=filters)
    per_arm = max(PER_ARM, limit)
    while True:
        rows = _executed(statement, {**parameters, "per_arm": per_arm})
        if len(rows) > limit or rows[-1]["brought"] < per_arm:
            return rows
        per_arm *= _WIDER


def _executed(statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(SETTINGS)
        cursor.execute(statement, parameters)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def prepare(there: Extent, question: Question, *, limit: int, filters: Filters | None) -> tuple[str, dict[str, Any]]:
    """Return the statement of a search and its parameters, all but `per_arm`."""
    arm, model, vector = None, question.model, question.vector
    if model is not None and vector is not None:
        arm = VectorArm(model.pk, dimensions=len(vector), is_indexed=model.is_indexed)
    only_sql, only_named = _only(filters)
    asked = dict(islice(question.terms.items(), _LOOKED_UP))
    parameters = {
        **there.parameters(),
        **only_named,
        "terms": [terms.number(term) for term in asked],
        "times": [float(times) for times in asked.values()],
        "vector": None if vector is None else HalfVector(vector).to_text(),
        "vector_share": weights.vector_share(model.name) if arm and model else 0.0,
        "limit": limit,
        "text_limit": _TEXT,
    }
    return compose(only=only_sql, vector=arm, is_large=there.is_large), parameters


#: Just-in-time compilation costs more than any search takes; the index is asked until it has enough, in any order.
SETTINGS = """
    SELECT set_config('jit', 'off', true), set_config('hnsw.iterative_scan', 'relaxed_order', true),
           set_config('hnsw.ef_search', '200', true), set_config('hnsw.max_scan_tuples', '1000000', true)
"""


def _named(queryset: QuerySet[Any, Any], *, prefix: str) -> tuple[str, dict[str, Any]]:
    """Return a queryset's SQL with names for its parameters, so that it fits into a larger statement."""
    sql, parameters = queryset.order_by().query.sql_with_params()
    names = [f"{prefix}_{at}" for at in range(len(parameters))]
    return sql % tuple(f"%({name})s" for name in names), dict(zip(names, parameters, strict=True))


def _only(filters: Filters | None) -> tuple[str, dict[str, Any]]:
    """Return a condition that starts with `passage_id`, and its parameters."""
    if filters is None or filters.is_empty:
        return "passage_id IS NOT NULL", {}
    chosen = Passage.objects.filter(**_conditions(filters))
    sql, parameters = _named(chosen.values("pk"), prefix="only")
    return f"passage_id IN ({sql})", parameters


def _conditions(filters: Filters) -> dict[str, Any]:
    conditions = {
        "memory__source_type__in": list(filters.source_types),
        "memory__run_id": filters.run_id,
        "memory__document": filters.document,
        "memory__thread": filters.thread,
        "memory__created_at__gte": filters.since,
        "memory__metadata__contains": filters.metadata,
    }
    return {name: value for name, value in conditions.items() if value}


def _hit(row: dict[str, Any], *, wanted: frozenset[str], explain: bool) -> Hit:
    quotes = json.loads(row["quotes"]) if isinstance(row["quotes"], str) else row["quotes"]
    metadata = json.loads(row["metadata"]) if isinstance(row["metadata"], str) else row["metadata"]
    names = ("id", "tier", "owner", "score", "text", "importance", "trust", "source_type", "document")
    return Hit(
        **{name: row[name] for name in names},
        metadata=metadata,
        run_id=row["run_id"],
        event_seq=row["event_seq"],
        created_at=row["created_at"],
        quotes=tuple(_quote(quote, wanted=wanted) for quote in quotes),
        explanation=_explanation(row) if explain else None,
    )


def _quote(quote: dict[str, Any], *, wanted: frozenset[str]) -> Quote:
    snippet, highlights = snippets.make(quote.pop("text"), wanted=wanted)
    return Quote(snippet=snippet, highlights=highlights, **quote)


def _explanation(row: dict[str, Any]) -> Explanation:
    names = ("words", "similarity", "words_part", "vector_part", "lift", "prior", "passage_id")
    return Explanation(**{name: row[name] for name in names})
