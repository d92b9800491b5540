"""The sign of life of a group of workers: a row that a thread renews, however busy the workers are."""

from __future__ import annotations

import os
import socket
import threading
import uuid

import psycopg
import structlog

from openintern.database import answered_within, own_connection_parameters

logger = structlog.get_logger(__name__)

BEAT_SECONDS = 5.0
#: A cluster that hasn't been seen for this long is taken for dead.
DEAD_AFTER_SECONDS = 20
_FORGET_AFTER = "1 hour"
_ANSWER_SECONDS = 10.0  # how long the database may take over a sign of life

_BEAT = """
    INSERT INTO public.queue_cluster (id, host, pid, workers) VALUES (%s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET seen_at = now()
"""


#: Made before the cluster forks: all its processes mean the same row.
CLUSTER = uuid.uuid4()


def end() -> None:
    """Take the row away when the cluster has ended in order: nobody has to wait to see that it is gone."""
    try:
        with psycopg.connect(**own_connection_parameters(), autocommit=True) as own:
            own.execute("DELETE FROM public.queue_cluster WHERE id = %s", [CLUSTER])
    except psycopg.Error as error:
        logger.warning("the end of the cluster can't be told", error=str(error))


class Life:
    """Renews one cluster's row until its process ends."""

    def __init__(self, *, workers: int) -> None:
        self._row = (CLUSTER, socket.gethostname(), os.getpid(), workers)
        self._never = threading.Event()

    def begin(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._live, name="life", daemon=True).start()

    def pause(self, seconds: float) -> None:
        """Wait in the calling thread."""
        self._never.wait(seconds)

    def _live(self) -> None:
        while True:
            try:
                with psycopg.connect(**own_connection_parameters(), autocommit=True) as own:
                    self._beat_on(own)
            except psycopg.Error as error:
                logger.warning("no sign of life can be given", error=str(error))
                self.pause(1.0)

    def _beat_on(self, own: psycopg.Connection) -> None:
        """Beat on one connection until it breaks."""
        with answered_within(_ANSWER_SECONDS, own):
            own.execute("DELETE FROM public.queue_cluster WHERE seen_at < now() - %s::interval", [_FORGET_AFTER])
        while True:
            with answered_within(_ANSWER_SECONDS, own):
                own.execute(_BEAT, self._row)
            self.pause(BEAT_SECONDS)
