"""A memory's passages: stored in order, each knowing the one before it, in its text or in its conversation."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

from memory import index
from memory.chunking import Piece, split
from memory.models import Memory, Passage

LONGEST_HEADING = 300
LONGEST_ANCHOR = 100


def store(
    memory: Memory, *, pieces: Sequence[Piece] | None, before: int | None = None, after: int | None = None
) -> None:
    """Store the memory's pieces as passages between two others, and let searches find them."""
    cut = pieces or split(memory.text)
    if not cut:
        return
    ids = _new_passage_ids(len(cut))
    passages = Passage.objects.bulk_create(
        Passage(
            id=passage_id,
            memory=memory,
            ordinal=ordinal,
            text=piece.text,
            start=piece.start,
            end=piece.end,
            heading=piece.heading[:LONGEST_HEADING],
            page=piece.page,
            anchor=piece.anchor[:LONGEST_ANCHOR],
            previous_id=previous,
        )
        for ordinal, (passage_id, previous, piece) in enumerate(zip(ids, [before, *ids], cut, strict=False))
    )
    if after is not None:
        Passage.objects.filter(pk=after).update(previous=passages[-1])
    index.put(memory.shelf, passages)


def _new_passage_ids(count: int) -> list[int]:
    """Draw ids ahead, in order: each passage names the one before it, and is written once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('memory_passage', 'id')) FROM generate_series(1, %s)", [count]
        )
        return [number for (number,) in cursor.fetchall()]


def neighbours(memory: Memory) -> tuple[int | None, int | None]:
    """The passages before and after the memory's own, if any."""
    own = list(memory.passages.order_by("ordinal").values_list("pk", "previous_id"))
    if not own:
        return None, None
    after = Passage.objects.filter(previous_id=own[-1][0]).exclude(memory=memory).values_list("pk", flat=True).first()
    return own[0][1], after


def last_of_thread(memory: Memory) -> int | None:
    """The passage that a new turn of a conversation follows."""
    if not memory.thread:
        return None
    turns = Memory.objects.filter(shelf=memory.shelf, thread=memory.thread).exclude(pk=memory.pk)
    last = turns.order_by("-created_at").values("pk")[:1]
    return Passage.objects.filter(memory__in=last).order_by("-ordinal").values_list("pk", flat=True).first()
