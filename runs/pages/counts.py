"""Numbers beside the filters of the list of runs."""

from __future__ import annotations

from django.db.models import Count

from openintern.tenancy.scope import Scope
from runs.models import Run


def unfinished_by_status(scope: Scope) -> dict[str, int]:
    """Return how many runs in sight are pending, running and waiting. Only those: an index holds them, however long the record."""
    counted = (
        Run.objects.for_scope(scope)
        .unfinished()
        .order_by()
        .values_list("status")
        .annotate(number=Count("pk", distinct=True))
    )
    return dict(counted)
