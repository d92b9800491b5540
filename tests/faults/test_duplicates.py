"""The same bell rings a thousand times, in two clusters, and from queues of others: each run has one worker at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django_q.models import OrmQ

from openintern.tenancy.scope import public_scope
from runs.queue import broker, tickets
from tests.faults.conftest import empty_queue
from tests.faults.history import History
from tests.faults.processes import WorkerCluster, wait_until
from tests.faults.tasks import start_three_steps

StartCluster = Callable[..., WorkerCluster]


@pytest.fixture(autouse=True)
def nothing_queued(history: History) -> None:
    empty_queue()


def ring(times: int) -> None:
    """Put copies of one bell into django-q2's own table, as a queue does that delivers again and again."""
    _, bell = broker._bell()
    waiting = broker.ListeningBroker()
    with public_scope():
        for _ in range(times):
            waiting.enqueue(bell)


def left() -> int:
    with public_scope():
        return OrmQ.objects.count()


def work_under_duplicates(start_cluster: StartCluster, history: History, *, runs: int, copies: int) -> None:
    start_cluster(workers=3)
    start_cluster(workers=3)
    for number in range(runs):
        ring(copies // runs)
        start_three_steps(history, session=f"{number % (runs // 2)}x")
    for run_id in history.accepted:
        history.wait_end(run_id, within=120)
    wait_until(lambda: left() == 0, within=300, what="the end of the copies")


def assert_each_had_one_worker(history: History) -> None:
    """No crash: so no purchase, no request to the outside and no attempt is one more than asked for."""
    for run_id in history.accepted:
        assert history.read(run_id)["attempt"] == 1
        assert [event["attempt"] for event in history.events(run_id)] == [1] * len(history.events(run_id))
    asked = [request for request in history.outside.requests if request["run"] in set(history.accepted)]
    assert len(asked) == 2 * len(history.accepted)
    history.judge()


def test_a_hundred_copies_of_a_bell(start_cluster: StartCluster, history: History) -> None:
    work_under_duplicates(start_cluster, history, runs=10, copies=100)

    assert_each_had_one_worker(history)


@pytest.mark.faults
def test_a_thousand_copies_of_a_bell(start_cluster: StartCluster, history: History) -> None:
    work_under_duplicates(start_cluster, history, runs=50, copies=1000)

    assert_each_had_one_worker(history)


def test_a_run_whose_bell_and_notification_got_lost_is_found(
    start_cluster: StartCluster, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_cluster(workers=1)
    monkeypatch.setattr(tickets, "notify", lambda *_: None)

    run_id = start_three_steps(history)

    history.wait_end(run_id, within=30)
    history.judge()
