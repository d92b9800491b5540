"""The process that makes vectors: one a machine is enough, more share the work."""

from __future__ import annotations

import signal
import time
from typing import Any

import psycopg
import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection
from psycopg import sql

from memory.embedding.filling import fill_all, organizations_with_work
from memory.index import EMBED
from openintern.database import own_connection_parameters
from openintern.tenancy.models import Organization

logger = structlog.get_logger(__name__)

#: How long to sleep without a notification before looking all the same: for what failed, or a crash left behind.
LOOK_SECONDS = 30.0
_PAUSE_SECONDS = 1.0  # how long to wait before it is looked whether to stop; also between two tries to connect


class Command(BaseCommand):
    help = "Make the vectors of new memories, as they come. `up` runs it; on other machines it may run as well."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="make what is missing now, and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            made = fill_all(organizations_with_work())
            self.stdout.write(f"{made} vectors made")
            return
        Embedder().work()


class Embedder:
    """Sleeps on `LISTEN`, embeds what it is told of, ends on SIGTERM after the batch at hand."""

    def __init__(self) -> None:
        self._is_stopping = False
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def work(self) -> None:
        """Work until told to stop. A database that is away is waited for."""
        while not self._is_stopping:
            try:
                with psycopg.connect(**own_connection_parameters(), autocommit=True) as own:
                    own.execute(sql.SQL("LISTEN {}").format(sql.Identifier(EMBED)))
                    self._work_on(own)
            except (psycopg.Error, DatabaseError) as error:
                logger.warning("the embedder lost its database", error=str(error))
                connection.close()
                time.sleep(_PAUSE_SECONDS)

    def _work_on(self, own: psycopg.Connection[Any]) -> None:
        orgs = organizations_with_work()
        while not self._is_stopping:
            fill_all(orgs, is_stopping=lambda: self._is_stopping)
            schemas = self._sleep(own)
            named = Organization.objects.filter(is_active=True).filter(schema_name__in=schemas)
            orgs = list(named) if schemas else organizations_with_work()

    def _sleep(self, own: psycopg.Connection[Any]) -> set[str]:
        """Return the schemas with news, as soon as there are any; none after LOOK_SECONDS."""
        wake_at = time.monotonic() + LOOK_SECONDS
        while not self._is_stopping and time.monotonic() < wake_at:
            if news := {notice.payload for notice in own.notifies(timeout=_PAUSE_SECONDS, stop_after=1)}:
                return news | {notice.payload for notice in own.notifies(timeout=0)}
        return set()

    def _stop(self, *_signal: Any) -> None:
        self._is_stopping = True
