"""A whole cluster dies, or is asked to go: no process stays, no run is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from openintern.ids import random_text
from tests.faults.conftest import empty_queue
from tests.faults.history import History
from tests.faults.processes import WorkerCluster, living, wait_until
from tests.faults.tasks import strike

StartCluster = Callable[..., WorkerCluster]


@pytest.fixture(autouse=True)
def nothing_queued(history: History) -> None:
    empty_queue()


@pytest.fixture
def session() -> str:
    return random_text(10)


def test_kill_9_of_the_main_process_leaves_nothing_and_loses_nothing(
    start_cluster: StartCluster, history: History, session: str
) -> None:
    hold = f"parent-{session}"
    history.peer.script({"text": "x", "hold": hold}, {"text": "By the next."}, marker=f"marker:{session}")
    first = start_cluster()
    run_id = history.start("outlive", session=session)
    history.peer.wait_held(hold, timeout=60)
    assert len(first.descendants()) == 6

    os.kill(first.process.pid, signal.SIGKILL)
    history.crashes[run_id] += 1
    first.process.wait()
    wait_until(lambda: not first.leftovers(), within=5, what="the end of every process")
    start_cluster()
    ended = history.wait_status(run_id, "completed", within=40)

    assert ended["output"] == "By the next."
    history.judge()


def test_term_lets_the_step_at_hand_finish(start_cluster: StartCluster, history: History, session: str) -> None:
    name = f"unsure-{session}"
    history.outside.hold(name, before=True)
    history.peer.script(strike("unsure", name), {"text": "By the next."}, marker=f"marker:{session}")
    first = start_cluster()
    run_id = history.start("hand over", session=session)
    history.outside.wait_request(name, timeout=60)
    first.descendants()

    first.process.send_signal(signal.SIGTERM)
    history.outside.release(name)
    first.process.wait(40)
    assert not first.leftovers()
    handed_back = history.types(run_id)
    start_cluster()
    ended = history.wait_status(run_id, "completed", within=20)

    assert handed_back[-2:] == ["step.completed", "step.started"]
    assert ended["output"] == "By the next."
    assert [request["name"] for request in history.outside.requests].count(name) == 1
    history.judge()


@pytest.mark.slow
def test_term_cuts_off_what_takes_too_long_and_hands_it_back(
    start_cluster: StartCluster, history: History, session: str
) -> None:
    hold = f"term-{session}"
    history.peer.script({"text": "x", "hold": hold}, {"text": "By the next."}, marker=f"marker:{session}")
    first = start_cluster()
    run_id = history.start("too long", session=session)
    history.peer.wait_held(hold, timeout=60)

    seconds = first.terminate(within=40)
    history.crashes[run_id] += 1
    assert not first.leftovers()
    start_cluster()
    ended = history.wait_status(run_id, "completed", within=20)

    print(f"a cluster with a silent model call ended after {seconds:.0f} s")
    assert ended["output"] == "By the next."
    history.judge()


def test_two_clusters_share_the_work(start_cluster: StartCluster, history: History) -> None:
    start_cluster()
    start_cluster()

    runs = [
        history.start("share", session=f"{random_text(6)}{number % 5}", provider="mock", model="mock")
        for number in range(20)
    ]

    for run_id in runs:
        history.wait_status(run_id, "completed", within=30)
    history.judge()


@pytest.mark.parametrize("role", ["workers", "aides"])
def test_it_ends_when_asked_whichever_of_its_processes_were_killed(
    start_cluster: StartCluster, history: History, session: str, role: str
) -> None:
    """The aides are the pusher and the monitor, which waits for results as they die."""
    cluster = start_cluster()
    run_id = history.start("before", session=session, provider="mock", model="mock")
    history.wait_end(run_id)
    workers = cluster.workers()
    aides = cluster.descendants() - workers - {cluster.process.pid, cluster.sentinel()}
    killed = workers if role == "workers" else aides
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not killed & living().keys(), within=10, what="their death")
    wait_until(lambda: len(cluster.descendants()) == 6, within=30, what="others in their place")

    run_id = history.start("after", session=session, provider="mock", model="mock")
    history.wait_end(run_id, within=30)
    seconds = cluster.terminate(within=60)

    print(f"ended after {seconds:.1f} s")
    assert not cluster.leftovers()
    history.judge()


def test_a_worker_that_dies_as_it_hands_in_its_result_is_replaced(
    start_cluster: StartCluster, history: History, session: str, tmp_path: Path
) -> None:
    """django-q2 holds a lock at that moment, which its guard asks for before it looks who is alive."""
    trap = tmp_path / "trap"
    trap.touch()
    start_cluster(workers=1, DIE_AT_RESULT=str(trap))
    first = history.start("the last of this worker", session=session, provider="mock", model="mock")
    history.wait_end(first)
    wait_until(lambda: not trap.exists(), within=20, what="the worker's death")

    second = history.start("the first of the next", session=session, provider="mock", model="mock")

    history.wait_end(second, within=30)
    history.judge()
