"""A worker dies, freezes or loses its database at the worst moments: another goes on, and nothing happens twice."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import psycopg
import pytest
from django.db import connection

from openintern.database import own_connection_parameters
from openintern.ids import random_text
from tests.faults.history import History
from tests.faults.processes import WorkerCluster, holder_of, wait_until
from tests.faults.tasks import strike


def kill_holder(history: History, run_id: str) -> float:
    """Kill -9 the worker at work on a run; returns when."""
    os.kill(holder_of(run_id), signal.SIGKILL)
    history.crashes[run_id] += 1
    return time.monotonic()


@pytest.fixture
def session() -> str:
    return random_text(10)


def test_during_a_model_call(shared_cluster: WorkerCluster, history: History, session: str) -> None:
    hold = f"call-{session}"
    history.peer.script({"text": "never heard", "hold": hold}, {"text": "Here."}, marker=f"marker:{session}")
    run_id = history.start("answer me", session=session)
    history.peer.wait_held(hold, timeout=60)

    killed_at = kill_holder(history, run_id)
    history.wait_event(run_id, "run.resumed")
    recovered = time.monotonic() - killed_at
    ended = history.wait_status(run_id, "completed")

    assert recovered <= 15
    assert ended["output"] == "Here."
    assert ended["attempt"] == 2
    history.judge()


@pytest.mark.slow
def test_during_a_tool(shared_cluster: WorkerCluster, history: History, session: str) -> None:
    """Eight workers die at once, over a tool of each recovery class, before and after its effect."""
    cases = [(kind, before) for kind in ("pure", "keyed", "checkable", "unsure") for before in (True, False)]
    names = [f"{kind}-{'before' if before else 'after'}-{session}" for kind, before in cases]
    runs = [
        start_striking(history, kind, name, before=before) for (kind, before), name in zip(cases, names, strict=True)
    ]
    for (_, before), name in zip(cases, names, strict=True):
        history.outside.wait_request(name, timeout=60)
        if not before:
            wait_until(partial(history.outside.has_struck, name), within=10)

    killed_at = [kill_holder(history, run_id) for run_id in runs][-1]
    for run_id in runs:
        history.wait_event(run_id, "run.resumed")
    recovered = time.monotonic() - killed_at
    for name in names:
        history.outside.release(name)
    ended = [history.wait_status(run_id, "completed", "waiting", within=90)["status"] for run_id in runs]

    print(f"eight runs went on {recovered:.1f} s after their workers' death")
    assert recovered <= 15
    assert ended == ["completed"] * 6 + ["waiting"] * 2
    asked = [sum(request["name"] == name for request in history.outside.requests) for name in names]
    assert asked == [2, 2, 2, 2, 2, 1, 1, 1]
    for run_id in runs[6:]:
        assert history.types(run_id)[-1] == "run.waiting"
        history.cancel(run_id)
    history.judge()


def start_striking(history: History, kind: str, name: str, *, before: bool) -> str:
    """Start a run whose tool is held, before or after its effect."""
    history.outside.hold(name, before=before)
    history.peer.script(strike(kind, name), {"text": "Struck."}, marker=f"marker:{name}x")
    return history.start("strike", session=f"{name}x".replace("-", "_"), marker=f"{name}x")


def test_between_two_steps(shared_cluster: WorkerCluster, history: History, session: str) -> None:
    name, hold = f"unsure-{session}", f"second-{session}"
    history.peer.script(
        strike("unsure", name), {"text": "x", "hold": hold}, {"text": "Both."}, marker=f"marker:{session}"
    )
    run_id = history.start("two steps", session=session)
    history.peer.wait_held(hold, timeout=60)

    kill_holder(history, run_id)
    ended = history.wait_status(run_id, "completed")

    assert ended["output"] == "Both."
    assert [request["name"] for request in history.outside.requests].count(name) == 1
    assert history.types(run_id).count("step.started") == 2
    history.judge()


def test_a_frozen_worker_that_wakes_up_can_write_nothing(
    shared_cluster: WorkerCluster, history: History, session: str
) -> None:
    hold = f"frozen-{session}"
    history.peer.script({"text": "the zombie's", "hold": hold}, {"text": "the heir's"}, marker=f"marker:{session}")
    run_id = history.start("freeze", session=session)
    history.peer.wait_held(hold, timeout=60)
    zombie = holder_of(run_id)

    os.kill(zombie, signal.SIGSTOP)
    try:
        history.crashes[run_id] += 1
        history.peer.release(hold)
        ended = history.wait_status(run_id, "completed")
        before = history.events(run_id)
    finally:
        os.kill(zombie, signal.SIGCONT)
    following = [
        history.start("go on", session=f"{session}{number}", provider="mock", model="mock") for number in range(4)
    ]
    for other in following:
        history.wait_status(other, "completed")
    wait_until(lambda: zombie not in busy(), within=15, what="the zombie's return")

    assert ended["output"] == "the heir's"
    assert history.events(run_id) == before
    history.judge()


def busy() -> set[int]:
    """The processes that hold a lease."""
    from openintern.tenancy.scope import public_scope
    from runs.queue.models import Ticket

    with public_scope():
        owners = Ticket.objects.exclude(leased_by="").values_list("leased_by", flat=True)
        return {int(owner.split(":")[1]) for owner in owners}


def test_an_idle_worker_may_die_too(shared_cluster: WorkerCluster, history: History, session: str) -> None:
    """It was waiting for its next bell: what it held while it waited must not keep the others from theirs."""
    for _ in range(2):
        for worker in shared_cluster.workers():
            os.kill(worker, signal.SIGKILL)

        run_id = history.start("are you there", session=random_text(8), provider="mock", model="mock")

        history.wait_status(run_id, "completed", within=15)
    history.judge()


def test_every_connection_is_cut_in_the_middle_of_a_run(
    shared_cluster: WorkerCluster, history: History, session: str
) -> None:
    name = f"keyed-{session}"
    history.outside.hold(name, before=False)
    history.peer.script(strike("keyed", name), {"text": "Unbroken."}, marker=f"marker:{session}")
    run_id = history.start("cut", session=session)
    history.outside.wait_request(name, timeout=60)

    cut_all_connections()
    history.crashes[run_id] += 1
    history.outside.release(name)
    ended = history.wait_status(run_id, "completed", within=20)

    assert ended["output"] == "Unbroken."
    history.judge()


def cut_all_connections() -> int:
    """End every backend of this database; the test's own connection too, which is opened again."""
    with psycopg.connect(
        **{**own_connection_parameters(), "application_name": "administrator"}, autocommit=True
    ) as administrator:
        row = administrator.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    connection.close()
    assert row is not None
    return int(row[0])


def test_a_cancel_reaches_a_worker_of_another_process(
    shared_cluster: WorkerCluster, history: History, session: str
) -> None:
    hold = f"cancel-{session}"
    history.peer.script({"text": "x", "hold": hold}, marker=f"marker:{session}")
    run_id = history.start("cancel me", session=session)
    history.peer.wait_held(hold, timeout=60)
    number = next(request.number for request in history.peer.requests if f"marker:{session}" in request.markers)

    history.cancel(run_id)

    history.peer.wait_outcome(number, "gone", timeout=5)
    following = history.start("next", session=session, provider="mock", model="mock")
    history.wait_status(following, "completed", within=10)
    history.judge()


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_given_up_and_others_go_on(
    start_cluster: Callable[..., WorkerCluster], history: History, session: str
) -> None:
    start_cluster(workers=1)
    history.peer.script({"tool_calls": [{"name": "take_down", "id": "down"}]}, marker=f"marker:{session}")
    poison = history.start("poison", session=session)
    fine = history.start("fine", session=f"{session}x", provider="mock", model="mock")

    failed = history.wait_status(poison, "failed", within=90)

    assert failed["error"]["code"] == "WORKER_LOST"
    history.wait_status(fine, "completed", within=60)  # where workers come back slowly it is the last to be taken up
    history.judge()


def test_work_begins_at_once(
    shared_cluster: WorkerCluster, history: History, record_property: Callable[[str, object], None]
) -> None:
    waits = []
    for _ in range(25):
        run_id = history.start("quick", session=random_text(8), provider="mock", model="mock")
        history.wait_status(run_id, "completed", within=10)
        accepted, begun = history.read(run_id)["created_at"], history.events(run_id)[0]["ts"]
        waits.append((moment(begun) - moment(accepted)).total_seconds())

    record_property("p50", statistics.median(waits))
    record_property("p95", sorted(waits)[23])
    print(f"enqueue to start: p50 {statistics.median(waits) * 1000:.0f} ms, p95 {sorted(waits)[23] * 1000:.0f} ms")
    assert statistics.median(waits) < 0.5
    history.judge()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_an_idle_cluster_leaves_the_database_alone(shared_cluster: WorkerCluster, history: History) -> None:
    """What busy backends did is counted late, hence more than one look."""
    rates: list[float] = []

    def is_quiet() -> bool:
        rates.append(transactions_a_second(during=5))
        return rates[-1] < 5

    assert busy() == set()

    wait_until(is_quiet, within=40, what="quiet")

    print(f"idle: {rates[-1]:.1f} transactions a second")


def transactions_a_second(*, during: float) -> float:
    before, began = transactions(), time.monotonic()
    time.sleep(during)  # what is measured is a rate
    return (transactions() - before) / (time.monotonic() - began)


def transactions() -> int:
    """How many this database has seen."""
    with psycopg.connect(**own_connection_parameters(), autocommit=True) as observer:
        row = observer.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])
