"""A worker is killed at every message it sends, waits for and reads, over a run of three steps and two tools.

strace ends it at the kernel's door, so no place is left out: between two statements, in the middle of a commit, on the
way to the provider, in the pulse, in a tool's thread. Whatever then stands in the database, a cluster goes on from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from django.db.models.functions import Now

from openintern.tenancy.models import Organization
from runs.queue.models import Ticket
from tests.conftest import Person
from tests.faults.conftest import empty_queue
from tests.faults.forge import Doom, Forge, forge
from tests.faults.history import History
from tests.faults.processes import WorkerCluster
from tests.faults.tasks import start_three_steps

AT_ONCE = 8
FURTHEST = 400  # more calls of a kind than a thread makes in such a run
SENDS, READS, WAITS = "sendto", "recvfrom", "poll"


@pytest.fixture(scope="module")
def smithy(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    if shutil.which("strace") is None:
        if os.environ.get("OPENINTERN_REQUIRE_STRACE"):
            pytest.fail("strace is missing")
        pytest.skip("needs strace")
    with forge(environ, tmp_path_factory.mktemp("forge") / "log") as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_queued(history: History, alice: Person) -> Iterator[None]:
    """A dead worker counts as one of the organisation's until its lease is over: here there are more of them than it may have."""
    empty_queue()
    everybodys = Organization.objects.filter(pk=alice.org.pk)
    everybodys.update(max_concurrent_runs=1000)
    yield
    everybodys.update(max_concurrent_runs=alice.org.max_concurrent_runs)


def kill_at(smithy: Forge, history: History, place: Path, *, call: str, numbers: Sequence[int]) -> int:
    """Start a run and a doomed worker for each number; return how many of them met their end before the run's."""
    for _ in numbers:
        start_three_steps(history)
    dooms = [Doom(smithy.worker(), call=call, number=n, report=place / f"{call}{n}") for n in numbers]
    killed = sum(doom.has_come() for doom in dooms)
    keep_for_later()
    return killed


def keep_for_later() -> None:
    """No later doomed worker takes up what an earlier one left: a run that loses three workers in a row is given up."""
    Ticket.objects.update(available_at=Now() + timedelta(hours=1))


def bring_back() -> None:
    Ticket.objects.update(available_at=Now())


def waves(numbers: Iterator[int]) -> Iterator[list[int]]:
    while wave := list(islice(numbers, AT_ONCE)):
        yield wave


def assert_all_end_well(history: History, start_cluster: Callable[..., WorkerCluster]) -> None:
    bring_back()
    start_cluster(workers=AT_ONCE)
    for run_id in history.accepted:
        assert history.wait_end(run_id, within=90)["output"] == "Both struck.", history.read(run_id)["error"]
    history.judge()
    runs = set(history.accepted)
    struck = [effect for effect in history.outside.effects if effect["run"] in runs]
    assert sum(effect["name"].startswith("keyed") for effect in struck) == len(runs)


def test_a_worker_killed_here_and_there(
    smithy: Forge, history: History, start_cluster: Callable[..., WorkerCluster], tmp_path: Path
) -> None:
    history.is_blind = True

    killed = sum(
        kill_at(smithy, history, tmp_path, call=call, numbers=numbers)
        for call, numbers in ((SENDS, range(4, 60, 7)), (READS, range(6, 90, 11)))
    )

    assert_all_end_well(history, start_cluster)
    assert killed >= 12


@pytest.mark.faults
def test_a_worker_killed_at_every_message(
    smithy: Forge, history: History, start_cluster: Callable[..., WorkerCluster], tmp_path: Path
) -> None:
    history.is_blind = True
    killed: dict[str, int] = {}

    for call in (SENDS, READS, WAITS):
        for wave in waves(iter(range(1, FURTHEST))):
            here = kill_at(smithy, history, tmp_path, call=call, numbers=wave)
            killed[call] = killed.get(call, 0) + here
            if here == 0:
                break
        else:
            raise AssertionError(f"a run of three steps makes more than {FURTHEST} {call}")

    print(f"{sum(killed.values())} workers were killed, each at another place: {killed}")
    assert_all_end_well(history, start_cluster)
    assert sum(killed.values()) >= 200
