"""Syncs by the clock: django-q2 calls once a minute, and whichever connectors are due are asked for."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db.models.functions import Now

from connectors.models import Connector, SyncJob
from connectors.syncing import asked
from openintern.errors import OpenInternError
from openintern.tenancy.rounds import in_each, organizations_where

logger = structlog.get_logger(__name__)


def poll_all() -> int:
    """Ask for the syncs that are due, in every organisation; return how many. Called by the schedule."""
    due = "status = 'active' AND app_id <> '' AND polls_at <= clock_timestamp()"
    orgs = organizations_where(table="connectors_connector", condition=due, values={})
    return in_each(orgs, lambda _: poll(), doing="polling connectors")


def poll() -> int:
    """Ask for the syncs that are due in this organisation."""
    polled = 0
    for connector in Connector.objects.filter(status=Connector.Status.ACTIVE, polls_at__lte=Now()).exclude(app_id=""):
        pause = timedelta(seconds=int(connector.config.get("poll_interval_seconds", 300)))
        Connector.objects.filter(pk=connector.pk).update(last_polled_at=Now(), polls_at=Now() + pause)
        try:
            asked.ask(connector, trigger=SyncJob.Trigger.POLL)
            polled += 1
        except OpenInternError as refusal:
            logger.info("a connector isn't polled: %s", refusal.message, connector=connector.pk)
    return polled
