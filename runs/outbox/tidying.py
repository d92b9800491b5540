"""What was told long ago goes; called once a day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.utils import timezone

from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope
from runs.models import Delivery

logger = structlog.get_logger(__name__)

KEPT: Final = {Delivery.State.DONE: timedelta(days=7), Delivery.State.DEAD: timedelta(days=30)}


def forget_all() -> None:
    """Remove what was settled long ago, in every organisation; one that can't be tidied doesn't keep the others from it."""
    for org in Organization.objects.filter(is_active=True):
        try:
            with org_scope(org):
                forget(at=timezone.now())
        except Exception:  # the outermost edge of a scheduled task: the operator's log has it
            logger.exception("old deliveries can't be removed", org=org.slug)


def forget(*, at: datetime) -> int:
    """Remove what was delivered more than 7 days ago, and what was given up more than 30 days ago; return how much."""
    return sum(
        Delivery.objects.filter(state=state, settled_at__lt=at - kept).delete()[0] for state, kept in KEPT.items()
    )
