"""The audit: one row for every change by a person and every refusal, in the commit of what it records."""

from __future__ import annotations

from typing import Any

from openintern.tenancy.models import AuditEntry, Organization, User
from openintern.tenancy.scope import Scope


def record(
    action: str,
    *,
    org: Organization | None = None,
    actor: User | None = None,
    via: str = "command",
    object_id: str = "",
    address: str | None = None,
    details: dict[str, Any] | None = None,
    refused: bool = False,
) -> None:
    """Write one row in the caller's transaction. `details` must hold no secret."""
    AuditEntry.objects.create(
        action=action,
        organization=org,
        actor=actor,
        via=via,
        object_id=object_id[:200],
        address=address,
        details=details or {},
        outcome=AuditEntry.Outcome.REFUSED if refused else AuditEntry.Outcome.DONE,
    )


def record_for(scope: Scope, action: str, *, object_id: str = "", **details: Any) -> None:
    """Write one row about what the person in `scope` did."""
    record(action, org=scope.org, actor=scope.user, via=scope.via, object_id=object_id, details=details)
