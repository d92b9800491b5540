"""Slowing down those who guess passwords. The audit is the counter: refusals are in it anyway."""

from __future__ import annotations

from datetime import datetime, timedelta

from openintern.errors import OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import AuditEntry

SIGN_IN_REFUSED = "session.create"
WINDOW = timedelta(minutes=15)
LIMIT_PER_NAME = 10
LIMIT_PER_ADDRESS = 50


def require_patience(*, username: str, address: str | None, at: datetime) -> None:
    """Raise THROTTLED after too many refusals for one name or from one address in the last 15 minutes.

    The answer doesn't depend on whether the person exists.
    """
    refusals = AuditEntry.objects.filter(action=SIGN_IN_REFUSED, outcome=AuditEntry.Outcome.REFUSED, at__gt=at - WINDOW)
    by_name = refusals.filter(object_id=username[:200]).count()
    by_address = refusals.filter(address=address).count() if address else 0
    if by_name >= LIMIT_PER_NAME or by_address >= LIMIT_PER_ADDRESS:
        raise OpenInternError(
            "THROTTLED",
            "Too many attempts; try again in a quarter of an hour",
            details={"retry_after": int(WINDOW.total_seconds())},
        )


def record_refusal(*, username: str, address: str | None) -> None:
    """Count a wrong password."""
    audit.record(SIGN_IN_REFUSED, via="session", object_id=username, address=address, refused=True)
