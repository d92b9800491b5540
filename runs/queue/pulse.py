"""A worker's pulse: one thread that keeps the lease of the run at hand alive and hears when to stop.

It has a connection of its own, so a long model call or tool doesn't silence it. It renews the lease every 3 seconds
(a lease lasts 10), and learns of a cancel by `NOTIFY` at once, or from the run's row at the next renewal.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import psycopg
import structlog
from psycopg import sql

from openintern.database import answered_within, own_connection_parameters
from runs.queue.claims import LEASE_SECONDS, Claim
from runs.queue.processes import Sign
from runs.queue.tickets import STOP
from runs.stop import Stop

logger = structlog.get_logger(__name__)

BEAT_SECONDS = 3.0
_LISTEN_SECONDS = 0.5  # how long to listen before looking at the clock
#: How long the database may take over a beat, or over a new connection: with both, a lease is given up in time.
_ANSWER_SECONDS = 4.0
#: How long a run may go on after its worker was asked to end, before it is cut off and handed back.
GRACE_SECONDS = 20.0


@dataclass
class Held:
    """The run at hand."""

    claim: Claim
    schema: str
    stop: Stop
    deadline: float  # monotonic: when the run's time is up
    renewed_at: float  # monotonic: when the lease was last known to be good


class Pulse:
    """Beats for one worker process, for one run at a time."""

    def __init__(self, *, owner: str, shutdown: Sign | None = None) -> None:
        self.owner = owner
        self._shutdown = shutdown
        self._shutdown_seen_at: float | None = None
        self._held: Held | None = None
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._parameters = {**own_connection_parameters(), "connect_timeout": int(_ANSWER_SECONDS)}

    def is_draining(self) -> bool:
        """Whether the worker was asked to end: the run at hand finishes its step, then is handed back."""
        return self._shutdown is not None and self._shutdown.is_set()

    def hold(self, held: Held) -> None:
        """Begin to beat for a run. One whose time is up already is stopped at once."""
        self._watch_clock(held)
        self._held = held
        self._wake.set()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._live, name="pulse", daemon=True)
            self._thread.start()

    def let_go(self) -> None:
        """Stop beating: the run has ended or was handed back."""
        self._held = None
        self._wake.clear()

    def _live(self) -> None:
        while True:
            self._wake.wait()
            try:
                with psycopg.connect(**self._parameters, autocommit=True) as own:
                    with answered_within(_ANSWER_SECONDS, own):
                        own.execute(sql.SQL("LISTEN {}").format(sql.Identifier(STOP)))
                    self._beat_on(own)
            except psycopg.Error as error:
                logger.warning("pulse lost its connection", error=str(error))
                self._look_without_database()
                time.sleep(0.5)  # between two tries to connect

    def _beat_on(self, own: psycopg.Connection) -> None:
        """Beat on one connection until it breaks."""
        beaten_at = float("-inf")
        while True:
            if not self._wake.is_set():
                self._wake.wait()
                beaten_at = float("-inf")
            held = self._held
            if held is None:
                continue
            if time.monotonic() - beaten_at >= BEAT_SECONDS:
                beaten_at = time.monotonic()
                with answered_within(_ANSWER_SECONDS, own):
                    self._beat(own, held)
            self._watch_clock(held)
            for note in own.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                self._hear(note.payload)

    def _hear(self, payload: str) -> None:
        """Stop the run that is named, if it is at hand now: it needn't have been when we began to listen."""
        held = self._held
        if held is not None and payload == f"{held.schema}:{held.claim.run_id}":
            held.stop.set("cancelled")

    def _beat(self, own: psycopg.Connection, held: Held) -> None:
        """Renew the lease; stop the work if the lease, or the run itself, has gone to somebody else."""
        row = own.execute(
            sql.SQL(
                "UPDATE public.queue_ticket SET lease_expires_at = clock_timestamp() + %s * interval '1 second'"
                " WHERE id = %s AND attempt = %s AND leased_by = %s"
                " RETURNING (SELECT attempt FROM {}.runs_run WHERE id = %s)"
            ).format(sql.Identifier(held.schema)),
            [LEASE_SECONDS, held.claim.ticket_id, held.claim.attempt, self.owner, held.claim.run_id],
        ).fetchone()
        held.renewed_at = time.monotonic()
        if row is None:
            if self._held is held:  # not when the work ended between two looks
                held.stop.set("lost")
        elif row[0] is None or row[0] > held.claim.attempt:
            held.stop.set("cancelled")

    def _watch_clock(self, held: Held) -> None:
        now = time.monotonic()
        if now >= held.deadline:
            held.stop.set("timeout")
        if self.is_draining():
            self._shutdown_seen_at = self._shutdown_seen_at or now
            if now - self._shutdown_seen_at >= GRACE_SECONDS:
                held.stop.set("shutdown")

    def _look_without_database(self) -> None:
        """The clock goes on, and a lease that can't be renewed ends: past it somebody else may be at work."""
        held = self._held
        if held is None:
            return
        self._watch_clock(held)
        if time.monotonic() - held.renewed_at > LEASE_SECONDS:
            held.stop.set("lost")
