"""The door for a sync: of a connector's, one at a time."""

from __future__ import annotations

from typing import Final

from django.db import connection, transaction

from connectors.models import Connector, SyncJob
from connectors.progress import SYNCS, tell
from openintern.errors import NotFound, OpenInternError
from openintern.tenancy.models import User

#: What is rung when there is something to sync; the payload is the schema.
SYNC: Final = "openintern_sync"
#: Syncs of a connector that are kept to be looked at.
_KEPT: Final = 200


@transaction.atomic
def ask(connector: Connector, *, trigger: str, by: User | None = None) -> SyncJob:
    """Ask for a sync; the one that is unfinished is returned instead of a second.

    Raises FEISHU_SYNC_DISABLED where the connector has no app id or secret.
    """
    if Connector.objects.select_for_update().filter(pk=connector.pk).first() is None:
        raise NotFound("Connector")
    if not connector.is_able:
        raise OpenInternError("FEISHU_SYNC_DISABLED", "This connector has no app id and secret to sync with")
    under_way = SyncJob.objects.filter(connector=connector, status__in=SyncJob.UNFINISHED).first()
    if under_way is not None:
        return under_way
    job = SyncJob.objects.create(connector=connector, trigger=trigger, asked_by=by)
    old = SyncJob.objects.filter(connector=connector).order_by("-created_at").values_list("pk", flat=True)[_KEPT:]
    SyncJob.objects.filter(pk__in=list(old)).delete()
    ring()
    tell(SYNCS)
    return job


def ring() -> None:
    """Wake who syncs, when the transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, current_schema())", [SYNC])
