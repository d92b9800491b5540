"""Retention: runs that ended longer ago than their organisation wants to keep them go, with all that belongs to them.

What goes: the run, its events, effects and checkpoints, and conversations that hold no run any more. What stays: the ledger,
whose sums are balances, and the audit. Each batch is a transaction of its own with its audit row, so a prune that is
interrupted has done what it says, and the next one goes on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from openintern.tenancy import audit
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each
from openintern.tenancy.scope import org_scope
from runs.export import all_events, written
from runs.models import Event, Run, Session

#: How many runs go in one transaction. A run has seldom more than some hundred events.
BATCH = 50


@dataclass(frozen=True)
class Pruned:
    """What went, or would go."""

    runs: int
    events: int


def prune_all() -> None:
    """Prune every organisation that has a retention; called by the daily schedule.

    One that can't be pruned doesn't keep the others from it.
    """
    in_each(with_retention(), lambda org: prune(org, at=timezone.now()).runs, doing="pruning runs")


def with_retention() -> list[Organization]:
    """Return the organisations that don't keep their runs for ever."""
    return list(Organization.objects.filter(retention_days__isnull=False).order_by("pk"))


def outdated(org: Organization, *, at: datetime) -> Pruned:
    """Count what `prune` would remove."""
    if org.retention_days is None:
        return Pruned(0, 0)
    with org_scope(org):
        old = Run.objects.filter(ended_at__lt=at - timedelta(days=org.retention_days))
        return Pruned(old.count(), Event.objects.filter(run__in=old).count())


def prune(org: Organization, *, at: datetime, export_to: Path | None = None, batch: int = BATCH) -> Pruned:
    """Remove the organisation's outdated runs, batch by batch, and return how many there were.

    With `export_to`, each run is first written to `<export_to>/<organisation>/<run>.jsonl`, whole and on disk before
    it goes. A run that others came from goes after them, or stays as long as they do. May be repeated, and run twice at
    the same time.
    """
    if org.retention_days is None:
        return Pruned(0, 0)
    before = at - timedelta(days=org.retention_days)
    total = Pruned(0, 0)
    with org_scope(org):
        while chosen := list(_outdated(before).select_related("session")[:batch]):
            if export_to is not None:
                for run in chosen:
                    _export(run, export_to / org.slug)
            gone = _remove([run.pk for run in chosen], org=org, before=before)
            total = Pruned(total.runs + gone.runs, total.events + gone.events)
        _empty_sessions(before).delete()
    return total


def _outdated(before: datetime) -> QuerySet[Run]:
    children = Run.objects.filter(parent=OuterRef("pk"))
    return Run.objects.filter(~Exists(children), ended_at__lt=before).order_by("ended_at")


def _empty_sessions(before: datetime) -> QuerySet[Session]:
    return Session.objects.filter(~Exists(Run.objects.filter(session=OuterRef("pk"))), active_at__lt=before)


@transaction.atomic
def _remove(ids: list[str], *, org: Organization, before: datetime) -> Pruned:
    _, by_model = Run.objects.filter(pk__in=ids).delete()
    gone = Pruned(by_model.get("runs.Run", 0), by_model.get("runs.Event", 0))
    if gone.runs:
        details = {"runs": gone.runs, "events": gone.events, "ended_before": before.isoformat()}
        audit.record("run.prune", org=org, via="retention", object_id=org.slug, details=details)
    return gone


def _export(run: Run, folder: Path) -> None:
    """Write a run's events to a file that takes its name only when it is whole."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{run.pk}.{os.getpid()}"
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600), "w", encoding="utf-8"
        ) as file:
            file.writelines(written(all_events(run), form="jsonl"))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / f"{run.pk}.jsonl")
    finally:
        draft.unlink(missing_ok=True)
