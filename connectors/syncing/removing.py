"""The last phase: what no list shows any more is forgotten, unless another connector of the project still brings it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from connectors.models import Connector, Listing, Source
from connectors.syncing.discovering import COMPLETE
from connectors.syncing.leases import Hold
from memory import forgetting
from memory.models import Memory

_BATCH: Final = 100


@transaction.atomic
def remove(hold: Hold) -> bool:
    """Forget some of what is gone; return whether there was any. Nothing is, where a list was not seen to its end."""
    hold.lock()
    if Listing.objects.filter(job=hold.job).exclude(problem__in=COMPLETE).exists():
        return False
    gone = list(_unseen(hold)[:_BATCH])
    if not gone:
        return False
    forget(gone, at=timezone.now())
    Source.objects.filter(pk__in=[source.pk for source in gone]).delete()
    hold.get_on(removed=F("removed") + len(gone))
    return True


def forget_memory(source: Source, *, at: datetime) -> None:
    """Forget what came of one source. Inside a transaction."""
    forget([source], at=at)


def forget_all(connector: Connector, *, at: datetime) -> None:
    """Forget all that a connector has brought. Inside a transaction."""
    forget(Source.objects.filter(connector=connector), at=at)


def forget(sources: Iterable[Source], *, at: datetime) -> None:
    """Forget what came of these, and of no other: a document that two connectors bring is one memory."""
    rows = list(sources)
    mine = [source.pk for source in rows]
    wanted = {source.memory_id for source in rows if source.memory_id}
    shared = set(Source.objects.filter(memory__in=wanted).exclude(pk__in=mine).values_list("memory_id", flat=True))
    memories = Memory.objects.filter(pk__in=wanted - shared, forgotten_at__isnull=True).defer("text")
    if memories:
        forgetting.forget(memories, at=at)


def _unseen(hold: Hold) -> QuerySet[Source]:
    rows = Source.objects.filter(connector=hold.connector)
    return rows.filter(Q(seen_in__isnull=True) | ~Q(seen_in=hold.job)).order_by("pk")
