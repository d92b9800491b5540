"""Tool calls in doubt: what a waiting run asks people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from runs.models import Effect, Run


def calls_in_doubt(runs: Iterable[Run]) -> dict[str, list[Effect]]:
    """Return the calls in doubt of those runs that wait, by run."""
    waiting = [run.pk for run in runs if run.status == Run.Status.WAITING]
    found: dict[str, list[Effect]] = defaultdict(list)
    if waiting:
        for effect in Effect.objects.filter(run__in=waiting, status=Effect.Status.IN_DOUBT).order_by("step", "ordinal"):
            found[effect.run_id].append(effect)
    return found
