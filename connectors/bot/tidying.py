"""What was said to bots long ago goes; the runs have their own retention. Called once a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from connectors.models import BotEvent, BotMessage
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each

#: Far longer than an event is fresh (`sealing.FRESH_SECONDS`): what is sent again after that isn't believed.
KEPT_DAYS: Final = 30


def forget_all() -> None:
    """Remove old messages in every organisation; one that can't be tidied doesn't keep the others from it."""
    orgs = Organization.objects.filter(is_active=True)
    in_each(orgs, lambda org: forget(org, at=timezone.now()), doing="tidying messages")


def forget(org: Organization, *, at: datetime) -> int:
    """Remove messages that were dealt with 30 days ago, or as long ago as the organisation keeps runs; return how many."""
    days = KEPT_DAYS if org.retention_days is None else min(KEPT_DAYS, max(org.retention_days, 1))
    old = BotMessage.objects.filter(created_at__lt=at - timedelta(days=days)).exclude(state__in=BotMessage.UNFINISHED)
    gone: int = old.delete()[0]
    BotEvent.objects.filter(taken_at__lt=at - timedelta(days=KEPT_DAYS)).delete()
    return gone
