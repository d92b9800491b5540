"""Whose a sync is: claimed for the time of a lease, renewed with every request, fenced by its attempt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from connectors.models import Connector, SyncJob
from connectors.progress import SYNCS, tell

#: How long a sync belongs to who claimed it without a word.
LEASE: Final = timedelta(seconds=60)
#: How often it is begun, or waits for the other side, without getting on, before it is given up.
MOST_TRIES: Final = 8
_LONGEST_WAIT: Final = 600.0


class Lost(Exception):
    """The sync is somebody else's by now, or its connector is gone."""


class Stopped(Exception):
    """The process is to end."""


@dataclass
class Hold:
    """A claimed sync, as long as it is ours."""

    job: SyncJob
    is_stopping: Callable[[], bool]

    @property
    def connector(self) -> Connector:
        """Whose sync it is."""
        return self.job.connector

    def keep(self) -> None:
        """Renew the lease. Raises Lost, and Stopped where the process is to end."""
        if self.is_stopping():
            raise Stopped
        if not self._mine().update(available_at=Now() + LEASE):
            raise Lost

    def lock(self) -> None:
        """Hold the row until the transaction ends, so that nobody claims it meanwhile. Raises Lost."""
        if self._mine().select_for_update().first() is None:
            raise Lost

    def get_on(self, **changes: Any) -> None:
        """Note what was done, under the lock: whoever gets on may try again."""
        self._mine().update(tries=0, note="", available_at=Now() + LEASE, updated_at=Now(), **changes)
        tell(SYNCS)

    def hand_back(self) -> None:
        """Let whoever comes next go on at once."""
        self._mine().update(available_at=Now())

    def wait(self, *, seconds: float, note: str) -> None:
        """Leave it alone for a while: the other side can't, or doesn't want to, answer."""
        pause = min(max(seconds, 2.0 ** min(self.job.tries, 8)), _LONGEST_WAIT)
        self._mine().update(available_at=Now() + timedelta(seconds=pause), note=note[:300], updated_at=Now())
        tell(SYNCS)

    def end(self, **result: Any) -> None:
        """End it, under the lock."""
        self._mine().update(
            phase=SyncJob.Phase.OVER, ended_at=Now(), updated_at=Now(), available_at=Now(), note="", **result
        )
        tell(SYNCS)

    def _mine(self) -> QuerySet[SyncJob]:
        return SyncJob.objects.filter(pk=self.job.pk, attempt=self.job.attempt, status=SyncJob.Status.RUNNING)


def claim(job_id: str = "") -> SyncJob | None:
    """Take the sync that waits longest, or the one named; counted as a try before anything is done."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE.total_seconds(), job_id])
        row = cursor.fetchone()
    if row is None:
        return None
    tell(SYNCS)
    return SyncJob.objects.select_related("connector__project", "connector__created_by").get(pk=row[0])


_CLAIM = """
    UPDATE connectors_syncjob SET status = 'running', attempt = attempt + 1, tries = tries + 1,
           started_at = COALESCE(started_at, clock_timestamp()),
           available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT id FROM connectors_syncjob
        WHERE status IN ('pending', 'running') AND available_at <= clock_timestamp() AND %s IN ('', id)
        ORDER BY available_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""
