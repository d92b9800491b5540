"""What was told long ago goes; called once a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each
from runs.models import Delivery

KEPT: Final = {Delivery.State.DONE: timedelta(days=7), Delivery.State.DEAD: timedelta(days=30)}


def forget_all() -> None:
    """Remove what was settled long ago, in every organisation; one that can't be tidied doesn't keep the others from it."""
    in_each(Organization.objects.filter(is_active=True), lambda _: forget(at=timezone.now()), doing="tidying outboxes")


def forget(*, at: datetime) -> int:
    """Remove what was delivered more than 7 days ago, and what was given up more than 30 days ago; return how much."""
    return sum(
        Delivery.objects.filter(state=state, settled_at__lt=at - kept).delete()[0] for state, kept in KEPT.items()
    )
