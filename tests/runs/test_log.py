"""The log: numbered without a hole, fenced, and never wrong about a run's state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.log import StaleAttempt
from runs.models import Event, Run
from tests.conftest import Person, events_of, reload

NOTE = Draft(EventType.RUN_WARNING, {"code": "NOTE", "message": "so it is"})


@pytest.fixture
def run(alice: Person, start_run: Callable[..., Run]) -> Run:
    """A run that an attempt 1 is at."""
    started = start_run(alice)
    with org_scope(alice.org):
        log.append(started, NOTE, status=Run.Status.RUNNING, attempt=1, step=1)
    return started


def test_writers_side_by_side_leave_no_hole(alice: Person, run: Run) -> None:
    def write() -> None:
        with org_scope(alice.org):
            mine = Run.objects.get(pk=run.pk)
            for _ in range(10):
                log.append(mine, NOTE, NOTE)
        connections.close_all()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert [event.seq for event in events_of(alice, run)] == list(range(1, 122))
    assert reload(alice, run).last_seq == 121


def test_a_write_that_is_rolled_back_uses_up_no_number(alice: Person, run: Run) -> None:
    with org_scope(alice.org):
        with transaction.atomic():
            log.append(Run.objects.get(pk=run.pk), NOTE)
            transaction.set_rollback(True)
        log.append(run, NOTE)

    assert [event.seq for event in events_of(alice, run)] == [1, 2]


def test_an_outdated_attempt_writes_nothing(alice: Person, run: Run) -> None:
    with org_scope(alice.org):
        log.append(Run.objects.get(pk=run.pk), NOTE, attempt=2)

        with pytest.raises(StaleAttempt):
            log.append(run, NOTE, output="mine")

    assert reload(alice, run).output is None
    assert len(events_of(alice, run)) == 2


def test_after_the_end_nothing_is_written(alice: Person, run: Run) -> None:
    with org_scope(alice.org):
        log.append(run, Draft(EventType.RUN_CANCELLED), status=Run.Status.CANCELLED, ended_at=timezone.now())

        with pytest.raises(StaleAttempt):
            log.append(run, NOTE)
        with pytest.raises(StaleAttempt):
            log.append(run, Draft(EventType.RUN_COMPLETED), status=Run.Status.COMPLETED, ended_at=timezone.now())

    assert events_of(alice, run)[-1].type == "run.cancelled"


@pytest.mark.parametrize(
    ("before", "after"),
    [("pending", "completed"), ("pending", "waiting"), ("waiting", "completed")],
)
def test_a_transition_that_does_not_exist_is_refused(
    alice: Person, start_run: Callable[..., Run], before: str, after: str
) -> None:
    run = start_run(alice)
    with org_scope(alice.org):
        Run.objects.filter(pk=run.pk).update(status=before)

        with pytest.raises(StaleAttempt):
            log.append(run, NOTE, status=after, ended_at=timezone.now() if after == "completed" else None)

    assert reload(alice, run).status == before
    assert events_of(alice, run) == []


def test_what_can_not_be_stored_is_replaced(alice: Person, run: Run) -> None:
    with org_scope(alice.org):
        log.append(
            run, Draft(EventType.RUN_WARNING, {"nul\x00": ["\ud800", {"deep": "\x00"}]}), error={"message": "\x00"}
        )

    assert events_of(alice, run)[-1].payload == {"nul\ufffd": ["\ufffd", {"deep": "\ufffd"}]}
    assert reload(alice, run).error == {"message": "\ufffd"}


def test_events_wake_whoever_listens_when_they_are_committed(alice: Person, run: Run) -> None:
    def heard(listener: Any) -> list[str]:
        return [note.payload for note in listener.notifies(timeout=0.2)]

    listener = connections["default"].copy()
    try:
        listener.ensure_connection()
        listener.connection.execute(f"LISTEN {log.CHANNEL}")
        with org_scope(alice.org), transaction.atomic():
            log.append(run, NOTE, NOTE)
            before = heard(listener.connection)

        assert before == []
        assert heard(listener.connection) == [f"{alice.org.schema_name}:{run.pk}"]
    finally:
        listener.close()


def test_an_event_is_written_once_and_its_run_knows_the_last(alice: Person, run: Run) -> None:
    with org_scope(alice.org):
        appended = log.append(run, NOTE, NOTE)

    assert (appended.previous_seq, [event.seq for event in appended.events]) == (1, [2, 3])
    assert run.last_seq == 3
    with org_scope(alice.org):
        assert Event.objects.filter(run=run).count() == 3
