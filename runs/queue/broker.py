"""django-q2's broker, made to listen: it sleeps on `LISTEN` and rings a worker when there may be a run to claim.

A bell says nothing but "look": which run is next is decided by `claims.claim` in the worker, so a bell that comes
twice, late or not at all changes no order and loses no run. Ordinary django-q2 tasks and schedules pass through as ever.
"""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.signing import SignedPackage
from psycopg import sql

from openintern.database import own_connection_parameters
from runs.queue import claims
from runs.queue.life import Life
from runs.queue.tickets import WORK

logger = structlog.get_logger(__name__)

#: How long to sleep without a notification before looking all the same; bounds the wait for an expired lease.
LOOK_SECONDS = 2.0
_LOOK = f"""
    SELECT ({claims.COUNT_CLAIMABLE}),
           EXISTS (SELECT FROM public.django_q_ormq WHERE key = %(key)s AND lock < clock_timestamp())
"""  # noqa: S608  both parts are ours
_BELL = "runs.queue.worker.work_off"

Package = tuple[int | None, str]


class ListeningBroker(ORM):  # type: ignore[misc]
    """One per process of a cluster; only the pusher's ever listens."""

    _own: psycopg.Connection[Any] | None = None
    _life: Life | None = None
    _has_more = False  # there were ordinary tasks at the last look, which takes one: there may be others

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self._own = self._life = None

    def enqueue(self, task: str) -> int:
        """Store an ordinary task and wake a cluster in the same transaction."""
        task_id: int = super().enqueue(task)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [WORK])
        return task_id

    def dequeue(self) -> list[Package]:
        """Sleep until there may be work, then return a bell for each run that can be claimed, and ordinary tasks.

        A database that is away is waited for; nothing is raised for it.
        """
        if self._life is None:
            self._life = Life(workers=_workers())
            self._life.begin()
        try:
            lanes, has_tasks = self._look(self._woken())
            self._has_more = has_tasks
            bells = [_bell() for _ in range(lanes)]
            return [*bells, *((super().dequeue() or []) if has_tasks else [])]
        except (DatabaseError, psycopg.Error) as error:
            logger.warning("queue lost its database", error=str(error))
            self._forget_connections()
            return []

    def _look(self, own: psycopg.Connection[Any]) -> tuple[int, bool]:
        """Return how many runs can be claimed, and whether there is an ordinary task: one question for both, since it lies
        between every commit and the worker that it wakes."""
        [(lanes, has_tasks)] = own.execute(_LOOK, {"limit": _workers(), "key": self.list_key}).fetchall()
        return lanes, has_tasks

    def _woken(self) -> psycopg.Connection[Any]:
        """Return at the next notification, or after LOOK_SECONDS; at once when the connection is new or tasks are left.

        Notifications come together when the pusher was busy: one can stand for any number of tasks.
        """
        if self._own is None:
            self._own = psycopg.connect(**own_connection_parameters(), autocommit=True)
            self._own.execute(sql.SQL("LISTEN {}").format(sql.Identifier(WORK)))
            return self._own
        for _ in self._own.notifies(timeout=0 if self._has_more else LOOK_SECONDS, stop_after=1):
            pass
        return self._own

    def _forget_connections(self) -> None:
        if self._own is not None:
            self._own.close()
        self._own = None
        connection.close()
        if self._life is not None:
            self._life.pause(1.0)  # between two tries to connect


def _workers() -> int:
    return int(str(settings.Q_CLUSTER["workers"]))


def _bell() -> Package:
    """Return a task that wakes one worker. It is in no table and needs no acknowledgement."""
    task = {"id": uuid.uuid4().hex, "name": "bell", "func": _BELL, "args": (), "kwargs": {}, "started": timezone.now()}
    return None, SignedPackage.dumps(task)
