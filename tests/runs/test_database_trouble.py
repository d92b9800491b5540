"""A deadlock in the middle of work. PostgreSQL finds it and chooses its victim."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import DeadlockDetected

from openintern.database import own_connection_parameters
from runs.models import Run
from tests.conftest import Person, events_of, reload
from tests.faults.processes import wait_until

WAITED_FOR = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
OFTEN = 10


class Other:
    """Somebody who locks a table first and the run then: whoever does it the other way round is in a deadlock with them.

    Its victim is whoever has waited for a second. That is the one who came first, unless we are slow.
    """

    def __init__(self, run: Run, *, schema: str, table: str) -> None:
        self.was_victim = False
        self._table, self._name = sql.Identifier(schema, table), [f'"{schema}"."{table}"']
        self._row = sql.SQL("SELECT FROM {} WHERE id = {} FOR UPDATE").format(
            sql.Identifier(schema, "runs_run"), run.pk
        )

    @contextmanager
    def in_the_way(self) -> Iterator[None]:
        parameters = own_connection_parameters()
        with (
            psycopg.connect(**parameters) as own,
            psycopg.connect(**parameters, autocommit=True) as observer,
            ThreadPoolExecutor(max_workers=1) as beside,
        ):
            own.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(self._table))
            gone_on = beside.submit(self._go_on, own, observer)
            yield
            gone_on.result(60)

    def _go_on(self, own: psycopg.Connection, observer: psycopg.Connection) -> None:
        try:
            wait_until(
                lambda: observer.execute(WAITED_FOR, self._name).fetchone() != (0,), within=30, what="the other one"
            )
            own.execute(self._row)
        except DeadlockDetected:
            self.was_victim = True
        finally:
            own.rollback()


@pytest.mark.parametrize("table", ["runs_event", "runs_checkpoint"])
def test_a_worker_in_a_deadlock_loses_its_attempt_and_no_more(
    alice: Person, start_run: Callable[..., Run], work: Callable[[], int], table: str
) -> None:
    for _ in range(OFTEN):
        run = start_run(alice, steps=[{"text": "all there is"}])
        other = Other(run, schema=alice.org.schema_name, table=table)
        with other.in_the_way():
            work()
        work()
        if not other.was_victim:
            break

    assert not other.was_victim
    done, events = reload(alice, run), events_of(alice, run)
    assert (done.status, done.output, done.attempt) == (Run.Status.COMPLETED, "all there is", 2)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events].count("run.started") == 1
    assert [event.type for event in events].count("run.completed") == 1


def test_a_request_in_a_deadlock_is_asked_to_come_again_and_has_done_nothing(
    alice: Person, start_run: Callable[..., Run]
) -> None:
    client = alice.with_key()
    for _ in range(OFTEN):
        run = start_run(alice)
        before = events_of(alice, run)
        other = Other(run, schema=alice.org.schema_name, table="runs_event")
        with other.in_the_way():
            refused = client.post(f"/api/runs/{run.pk}/cancel")
        if not other.was_victim:
            break

    assert refused.status_code == 503
    assert int(refused["Retry-After"]) > 0
    assert (reload(alice, run).status, events_of(alice, run)) == (Run.Status.PENDING, before)
    assert client.post(f"/api/runs/{run.pk}/cancel").status_code == 200
    assert reload(alice, run).status == Run.Status.CANCELLED
