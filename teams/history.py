"""Who did what to a role or a group, and when: the audit's entries about one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import Scope

#: What the audit calls what can be done to each, with "clone" and "install" being ways to create one.
ROLE: Final = ("role.create", "role.change", "role.delete")
GROUP: Final = (
    "group.create",
    "group.change",
    "group.add_member",
    "group.place_member",
    "group.reorder",
    "group.remove_member",
    "group.delete",
)


@dataclass(frozen=True)
class Entry:
    """One thing that was done: `details` are the fields that changed, the role that came or went, the new version."""

    at: datetime
    by: str
    via: str
    action: str
    details: dict[str, Any]


def of(scope: Scope, object_id: str, *, limit: int, offset: int = 0) -> list[Entry]:
    """Return what was done to a role or a group, newest first."""
    rows = AuditEntry.objects.filter(
        organization=scope.org,
        object_id=object_id,
        action__in=[*ROLE, *GROUP],
        outcome=AuditEntry.Outcome.DONE,
    ).select_related("actor")
    return [
        Entry(
            at=row.at, by=row.actor.username if row.actor else "", via=row.via, action=row.action, details=row.details
        )
        for row in rows.order_by("-pk")[offset : offset + limit]
    ]
