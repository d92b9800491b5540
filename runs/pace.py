"""How fast tasks may be given."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from openintern.errors import OpenInternError
from openintern.tenancy.scope import Scope
from runs.models import Run

MINUTE: Final = timedelta(minutes=1)
COMMAND: Final = "command"  # who can type commands on the machine needs no holding back


def require_patience(scope: Scope) -> None:
    """Raise THROTTLED for a task too many within a minute, for the organisation or for the person.

    One person may take half of what the organisation may, so that nobody's loop keeps the colleagues out.
    """
    if scope.via == COMMAND:
        return
    most = scope.org.max_runs_per_minute
    wait = max(_wait(Run.objects.all(), most=most), _wait(Run.objects.filter(user=scope.user), most=max(most // 2, 1)))
    if wait > timedelta():
        raise OpenInternError(
            "THROTTLED",
            "Too many tasks in a minute; try again in a moment",
            details={"retry_after": math.ceil(wait.total_seconds())},
        )


def _wait(runs: QuerySet[Run], *, most: int) -> timedelta:
    """Return how long it is until fewer than `most` of the runs are of the last minute. One look into an index."""
    ages = runs.order_by("-created_at").annotate(age=Now() - F("created_at")).values_list("age", flat=True)
    oldest_that_counts = ages[most - 1 : most].first() if most else timedelta()
    return timedelta() if oldest_that_counts is None else MINUTE - oldest_that_counts
