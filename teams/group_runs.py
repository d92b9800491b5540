"""What groups did: the runs of their teams, and what came of them. Whoever asks sees the runs that are in sight anyway."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet

from openintern.tenancy.scope import Scope
from runs.models import Run
from teams import groups


def history(scope: Scope, group_id: str) -> QuerySet[Run]:
    """Return a group's runs in sight, newest first. Raises NOT_FOUND for a group that isn't in sight."""
    group = groups.find(scope, group_id)
    runs: QuerySet[Run] = Run.objects.for_scope(scope)
    return runs.filter(group_id=group.pk, parent=None).order_by("-created_at", "-pk")


def stats(scope: Scope, group_id: str) -> dict[str, Any]:
    """Count a group's runs in sight by how they ended; `avg_duration_ms` is of those that have. Raises NOT_FOUND."""
    done, failed = Q(status=Run.Status.COMPLETED), Q(status=Run.Status.FAILED)
    took = Avg(F("ended_at") - F("started_at"), filter=Q(started_at__isnull=False, ended_at__isnull=False))
    told: dict[str, Any] = (
        history(scope, group_id)
        .order_by()
        .aggregate(
            run_count=Count("pk"),
            completed_count=Count("pk", filter=done),
            failed_count=Count("pk", filter=failed),
            took=took,
        )
    )
    average: timedelta | None = told.pop("took")
    return {
        **told,
        "success_rate": told["completed_count"] / told["run_count"] if told["run_count"] else 0.0,
        "avg_duration_ms": None if average is None else round(average.total_seconds() * 1000),
    }
