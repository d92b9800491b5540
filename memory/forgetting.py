"""Forgetting: what is forgotten leaves the index at once, can be brought back for 30 days, and is then removed.

What came from a memory goes with it. One forgetting is one transaction, and is restored as one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from memory import index
from memory.models import Memory, Passage, Shelf
from openintern.errors import NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import Organization, User
from openintern.tenancy.rounds import in_each

#: How long a forgotten memory can be brought back.
RESTORABLE = timedelta(days=30)
_BATCH = 200


def forget(memories: Iterable[Memory], *, at: datetime) -> uuid.UUID:
    """Forget these and all that was derived from them; return the forgetting, by which it can be undone."""
    return _forget(Q(pk__in=[memory.pk for memory in memories]), at=at)


def forget_from(
    *,
    at: datetime,
    shelves: QuerySet[Shelf] | None = None,
    run_id: str = "",
    document: str = "",
    source_type: str = "",
    source_key: str = "",
    author: User | None = None,
) -> uuid.UUID:
    """Forget what came from a run, a document, a source or a person, and all that was derived from that.

    What is given has to hold together. `shelves` bounds it to what somebody may see; without it, it is everywhere.
    """
    given: dict[str, Any] = {
        "run_id": run_id,
        "document": document,
        "source_type": source_type,
        "source_key": source_key,
        "author": author,
    }
    conditions = {name: value for name, value in given.items() if value}
    if not conditions:
        raise ValueError("say what to forget")
    chosen = Q(**conditions)
    return _forget(chosen if shelves is None else chosen & Q(shelf__in=shelves), at=at)


@transaction.atomic
def restore(forgetting: uuid.UUID, *, at: datetime, shelves: QuerySet[Shelf] | None = None) -> int:
    """Bring back what one forgetting took; return how many memories that was.

    Raises NotFound where there is nothing to bring back: it was restored before, or is too long ago; CONFLICT where its
    source has written anew meanwhile.
    """
    chosen = Memory.objects.filter(forgotten_with=forgetting, forgotten_at__gt=at - RESTORABLE)
    if shelves is not None:
        chosen = chosen.filter(shelf__in=shelves)
    _lock(chosen)
    memories = list(chosen.select_related("shelf"))
    if not memories:
        raise NotFound("Forgotten memory")
    _require_free_keys(memories)
    Memory.objects.filter(pk__in=[memory.pk for memory in memories]).update(forgotten_at=None, forgotten_with=None)
    for memory in memories:
        if memory.superseded_at is None:
            index.put(memory.shelf, list(memory.passages.order_by("ordinal")))
    return len(memories)


def _require_free_keys(memories: Sequence[Memory]) -> None:
    """One owner has one memory under a source's key."""
    keyed = {(memory.owner, memory.source_key) for memory in memories if memory.source_key and not memory.superseded_at}
    everything: Any = Memory.objects
    current = (
        everything.current().filter(source_key__in=[key for _, key in keyed]).select_related("shelf").defer("text")
    )
    if any((memory.owner, memory.source_key) in keyed for memory in current):
        raise OpenInternError("CONFLICT", "Its source has written anew since it was forgotten")


@transaction.atomic
def purge(*, at: datetime) -> int:
    """Remove for good what was forgotten too long ago to be restored; return how many memories went."""
    old = list(Memory.objects.filter(forgotten_at__lte=at - RESTORABLE).values_list("pk", flat=True)[:_BATCH])
    Passage.objects.filter(memory__in=old).delete()
    Memory.objects.filter(pk__in=old).delete()
    return len(old)


def purge_all() -> None:
    """Purge every organisation; called by the daily schedule. One that can't be doesn't keep the others from it."""
    in_each(Organization.objects.order_by("pk"), _purge_whole, doing="purging memories")


def _purge_whole(org: Organization) -> int:
    gone = 0
    while batch := purge(at=timezone.now()):
        gone += batch
    if gone:
        audit.record("memory.purge", org=org, via="schedule", object_id=org.slug, details={"memories": gone})
    return gone


@transaction.atomic
def _forget(chosen: Q, *, at: datetime) -> uuid.UUID:
    forgetting = uuid.uuid4()
    ids = set(Memory.objects.filter(chosen, forgotten_at__isnull=True).values_list("pk", flat=True))
    newly = ids
    while newly:
        derived = Memory.objects.filter(derived_from__in=newly, forgotten_at__isnull=True)
        newly = set(derived.values_list("pk", flat=True)) - ids
        ids |= newly
    _take_away(ids, forgetting=forgetting, at=at)
    return forgetting


def _take_away(ids: set[uuid.UUID], *, forgetting: uuid.UUID, at: datetime) -> None:
    chosen = Memory.objects.filter(pk__in=ids, forgotten_at__isnull=True)
    for shelf in _lock(chosen):
        of_shelf = list(chosen.filter(shelf=shelf).values_list("pk", flat=True))
        index.take(shelf, of_shelf)
        Memory.objects.filter(pk__in=of_shelf).update(forgotten_at=at, forgotten_with=forgetting)


def _lock(memories: QuerySet[Memory]) -> list[Shelf]:
    """Lock the shelves of these memories, in the order in which everybody locks them."""
    ids = memories.order_by().values("shelf_id")
    return list(Shelf.objects.filter(pk__in=ids).order_by("pk").select_for_update())
