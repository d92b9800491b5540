"""What `/metrics` says about runs, their queue, their workers, and what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client.core import Metric

from openintern.metrics import collector, gauge, gauges
from openintern.tenancy.models import Organization
from openintern.tenancy.schemas import fingerprint
from openintern.tenancy.scope import org_scope
from runs.models import LedgerEntry, McpServer, Run
from runs.queue.life import DEAD_AFTER_SECONDS

_WINDOW = timedelta(hours=1)

_QUEUE = """
    SELECT
        count(*) FILTER (WHERE available_at IS NOT NULL AND lease_expires_at IS NULL),
        count(*) FILTER (WHERE lease_expires_at >= now()),
        count(*) FILTER (WHERE lease_expires_at < now()),
        count(*) FILTER (WHERE available_at IS NULL),
        coalesce(extract(epoch FROM now() - min(available_at) FILTER (WHERE lease_expires_at IS NULL AND available_at <= now())), 0)
    FROM queue_ticket
"""
_CLUSTERS = (
    "SELECT count(*), coalesce(sum(workers), 0) FROM queue_cluster WHERE seen_at > now() - %s * interval '1 second'"
)


@collector
def queue() -> Iterator[Metric]:
    """The queue, from its tickets: there is one for each run that hasn't ended, whatever its organisation."""
    queued, leased, abandoned, parked, oldest = _row(_QUEUE)
    running = leased + abandoned
    yield gauges(
        "runs", "Runs that haven't ended", "status", {"pending": queued, "running": running, "waiting": parked}
    )
    yield gauge("queue_length", "Runs that wait for a worker", queued)
    yield gauge("queue_leased", "Runs that a worker holds", leased)
    yield gauge("queue_abandoned", "Runs whose worker gave no sign of life", abandoned)
    yield gauge(
        "queue_oldest_wait_seconds", "For how long the first run that could be claimed has waited", float(oldest)
    )


@collector
def workers() -> Iterator[Metric]:
    """Who is there to work."""
    clusters, processes = _row(_CLUSTERS, DEAD_AFTER_SECONDS)
    yield gauge("clusters_alive", "Clusters of workers that gave a sign of life", clusters)
    yield gauge("workers_alive", "Worker processes of these clusters", processes)


@collector
def organizations() -> Iterator[Metric]:
    """What came of runs, what they cost and how the foreign servers fare, in all organisations together."""
    since = timezone.now() - _WINDOW
    servers = Counter({str(state): 0 for state in McpServer.State})
    outcomes = Counter({str(status): 0 for status in Run.Status if status.is_final})
    tokens, cost = 0, Decimal(0)
    for org in Organization.objects.filter(migrated_to=fingerprint()).order_by("pk"):
        with org_scope(org):
            ended = Run.objects.filter(ended_at__gte=since).values_list("status").annotate(Count("pk"))
            outcomes.update(dict(ended))
            servers.update(dict(McpServer.objects.in_use().values_list("state").annotate(Count("pk")).order_by()))
            spent = LedgerEntry.objects.filter(kind=LedgerEntry.Kind.SETTLE, at__gte=since).aggregate(
                tokens=Sum("tokens", default=0), usd=Sum("amount", default=Decimal(0))
            )
        tokens, cost = tokens + spent["tokens"], cost + spent["usd"]
    yield gauges(
        "mcp_servers", "Foreign MCP servers in use, as they were at the last look or call", "state", dict(servers)
    )
    yield gauges("runs_finished_last_hour", "Runs that ended within the last hour", "outcome", dict(outcomes))
    yield gauge("tokens_last_hour", "Tokens of the model calls of the last hour", tokens)
    yield gauge(
        "cost_usd_last_hour", "What the model calls of the last hour cost, as far as their price is known", float(cost)
    )


def _row(query: str, *parameters: int) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row: tuple[Any, ...] = cursor.fetchone()
        return row
