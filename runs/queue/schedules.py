"""What django-q2 does by the clock. Its schedules are rows, so an operator may move or pause them in the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from django_q.models import Schedule

#: Name, what is called, and at which hour (UTC) each day.
DAILY = (
    ("retention", "runs.retention.prune_all", 3),
    ("old deliveries", "runs.outbox.tidying.forget_all", 4),
    ("old PDF jobs", "connectors.mineru.tidying.forget_all", 4),
    ("old messages to bots", "connectors.bot.tidying.forget_all", 4),
    ("kept answers", "runs.idempotency.forget_all", 5),
    ("forgotten memories", "memory.forgetting.purge_all", 4),
    ("consolidation", "memory.consolidation.passes.propose_all", 5),
    ("forgotten documents", "memory.documents.shelving.purge_all", 5),
)

#: Name, and what is called, every minute: each looks for what is due, and has nothing to do as a rule.
EVERY_MINUTE = (
    ("ended children", "runs.family.deliver_all"),
    ("connectors", "connectors.syncing.polling.poll_all"),
    ("scheduled runs", "runs.scheduling.firing.fire_all"),
    ("MCP servers", "runs.mcp.probing.probe_all"),
)


def ensure(**_signal: Any) -> None:
    """Create the schedules that aren't there yet; those that are stay as they were set. Called after migrations."""
    is_public = getattr(connection, "schema_name", "") == "public"
    if not is_public or "django_q_schedule" not in connection.introspection.table_names():
        return
    for name, function in EVERY_MINUTE:
        Schedule.objects.get_or_create(
            name=name, defaults={"func": function, "schedule_type": Schedule.MINUTES, "minutes": 1}
        )
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for name, function, hour in DAILY:
        tomorrow = midnight + timedelta(days=1, hours=hour)
        Schedule.objects.get_or_create(
            name=name, defaults={"func": function, "schedule_type": Schedule.DAILY, "next_run": tomorrow}
        )
