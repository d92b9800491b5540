"""What came of runs, day by day and one by one: the numbers behind the small charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import TruncDate

from openintern.tenancy.scope import Scope
from runs.models import Run
from teams.models import Role

DAYS: Final = 14
RECENT: Final = 20


@dataclass(frozen=True)
class Day:
    """How many runs began on a day (UTC), by how they ended; `other` haven't, or were cancelled."""

    on: date
    completed: int = 0
    failed: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.completed + self.failed + self.other


def runs_of_role(scope: Scope, role: Role) -> QuerySet[Run]:
    """Return the runs in sight that a role worked on by itself, newest first."""
    runs: QuerySet[Run] = Run.objects.for_scope(scope)
    return runs.filter(agent_id=role.pk).order_by("-created_at", "-pk")


def by_day(runs: QuerySet[Run], *, at: datetime) -> list[Day]:
    """Return the last days, the oldest first, also those without a run."""
    today = at.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    rows = (
        runs.filter(created_at__gte=datetime(first.year, first.month, first.day, tzinfo=UTC))
        .order_by()
        .annotate(on=TruncDate("created_at", tzinfo=UTC))
        .values("on")
        .annotate(
            completed=Count("pk", filter=Q(status=Run.Status.COMPLETED)),
            failed=Count("pk", filter=Q(status=Run.Status.FAILED)),
            all=Count("pk"),
        )
    )
    there = {
        row["on"]: Day(row["on"], row["completed"], row["failed"], row["all"] - row["completed"] - row["failed"])
        for row in rows
    }
    days = [first + timedelta(days=number) for number in range(DAYS)]
    return [there.get(on) or Day(on) for on in days]
