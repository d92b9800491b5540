"""A process that sleeps until there is work in the background, does it, and ends when it is told to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from django.db import DatabaseError, connection
from psycopg import sql

from openintern.database import own_connection_parameters
from openintern.tenancy.models import Organization

logger = structlog.get_logger(__name__)

#: How long to sleep without a notification before looking all the same: for what failed, or a crash left behind.
LOOK_SECONDS = 30.0
_PAUSE_SECONDS = 1.0  # how long to wait before it is looked whether to stop; also between two tries to connect

IsStopping = Callable[[], bool]


@dataclass(frozen=True)
class Work:
    """What a process is for: rung on `channel` (the payload is the schema), found by `find`, done by `do`."""

    channel: str
    find: Callable[[], list[Organization]]
    do: Callable[[Sequence[Organization], IsStopping], object]
    look_seconds: float = LOOK_SECONDS


class Listener:
    """Sleeps on `LISTEN`, works on what it is told of, ends on SIGTERM after the piece at hand."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._is_stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def work(self) -> None:
        """Work until told to stop. A database that is away is waited for."""
        while not self._is_stopping:
            try:
                with psycopg.connect(**own_connection_parameters(), autocommit=True) as own:
                    own.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._work.channel)))
                    self._work_on(own)
            except (psycopg.Error, DatabaseError) as error:
                logger.warning("the database is away", error=str(error), channel=self._work.channel)
                connection.close()
                time.sleep(_PAUSE_SECONDS)

    def _work_on(self, own: psycopg.Connection[Any]) -> None:
        orgs = self._work.find()
        while not self._is_stopping:
            self._work.do(orgs, lambda: self._is_stopping)
            named = self._sleep(own)
            active = Organization.objects.filter(is_active=True)
            orgs = list(active.filter(schema_name__in=named)) if named else self._work.find()

    def _sleep(self, own: psycopg.Connection[Any]) -> set[str]:
        """Return the schemas with news, as soon as there are any; none after a while."""
        wake_at = time.monotonic() + self._work.look_seconds
        while not self._is_stopping and time.monotonic() < wake_at:
            if news := {notice.payload for notice in own.notifies(timeout=_PAUSE_SECONDS, stop_after=1)}:
                return news | {notice.payload for notice in own.notifies(timeout=0)}
        return set()

    def _stop(self, *_signal: Any) -> None:
        self._is_stopping = True
