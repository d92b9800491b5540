"""Everything at once, at random, in two organisations; afterwards all that was accepted has ended as promised.

`FAULTS_SOAK_SECONDS` says for how long (180), `FAULTS_SEED` repeats a choice of faults: their order, not their moments.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest

from tests.faults.following import Follower
from tests.faults.history import FINAL, History
from tests.faults.installation import CANARY, HttpClient, Installation
from tests.faults.processes import living, wait_until
from tests.faults.tasks import Step, start_long, start_three_steps
from tests.peers.effects import Outside
from tests.peers.llm import Peer

MOST_RUNS = 200
TROUBLES: tuple[Step, ...] = (
    {},
    {"drip": 0.3},
    {"status": 500},
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"cut": 200, "ending": "reset"},
    {"cut": -20},
    {"raw": "<html>not a stream</html>"},
)
CANARIES = ("canary-of-acme", "canary-of-rival")
#: Connections of an installation all of whose processes have worked: two for each of four workers (its own and its
#: pulse's), three of the pusher (life, bell, ordinary tasks), the monitor's, and two of the web process.
FULLY_GROWN = 2 * 4 + 3 + 1 + 2
#: What somebody is told who is not in time: nobody works on the run yet, it is over, or it is on its way there.
TOO_EARLY_OR_LATE = {"RUN_NOT_INJECTABLE", "RUN_NOT_CANCELLABLE", "RUN_ALREADY_FINISHED", "NOT_FOUND", "CONFLICT"}


class Chaos:
    """What can be done to an installation, blindly."""

    def __init__(self, installation: Installation, histories: list[History], chance: random.Random) -> None:
        self.installation = installation
        self.histories = histories
        self.chance = chance
        self.done: Counter[str] = Counter()
        self.frozen: list[int] = []
        self.followers: list[tuple[History, Follower]] = []

    def strike(self) -> None:
        """Do one of them."""
        faults: list[Callable[[], None]] = [
            self.kill_a_worker,
            self.kill_a_worker,
            self.freeze_a_worker,
            self.kill_a_cluster,
            self.end_a_cluster,
            self.restart_the_database,
            self.cut_every_connection,
            self.kill_the_web_process,
            self.cancel_something,
            self.speak_to_something,
            self.follow_something,
        ]
        fault = self.chance.choice(faults)
        self.done[fault.__name__] += 1
        fault()

    def kill_a_worker(self) -> None:
        if found := self._worker():
            with suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)

    def freeze_a_worker(self) -> None:
        """For longer than its lease; it wakes up while somebody else is at its run."""
        if found := self._worker():
            os.kill(found, signal.SIGSTOP)
            self.frozen.append(found)
            timer = threading.Timer(self.chance.uniform(11, 16), _wake, [found])
            timer.daemon = True
            timer.start()

    def kill_a_cluster(self) -> None:
        cluster = self.installation.clusters[-1]
        cluster.descendants()
        os.kill(cluster.process.pid, signal.SIGKILL)
        cluster.process.wait()
        wait_until(lambda: not cluster.leftovers(), within=30, what="the end of every process of the cluster")
        self.installation.start_workers(4)

    def end_a_cluster(self) -> None:
        cluster = self.installation.clusters[-1]
        for pid in self.frozen:
            _wake(pid)
        cluster.terminate(within=90)
        assert not cluster.leftovers()
        self.installation.start_workers(4)

    def restart_the_database(self) -> None:
        self.installation.restart_database()

    def cut_every_connection(self) -> None:
        with psycopg.connect(self.installation.database_url, autocommit=True) as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def kill_the_web_process(self) -> None:
        self.installation.restart_web()

    def cancel_something(self) -> None:
        self._post("cancel")

    def speak_to_something(self) -> None:
        self._post("inject", {"message": "Hurry!"})

    def follow_something(self) -> None:
        history = self.chance.choice(self.histories)
        if history.accepted:
            run_id = self.chance.choice(history.accepted)
            seed = random.Random(self.chance.random())
            self.followers.append((history, Follower(history.person, run_id, seed, at_most=8).start()))

    def _worker(self) -> int | None:
        return self.chance.choice(found) if (found := self.installation.workers()) else None

    def _post(self, verb: str, body: dict[str, str] | None = None) -> None:
        history = self.chance.choice(self.histories)
        if history.accepted:
            path = f"/api/runs/{self.chance.choice(history.accepted[-10:])}/{verb}"
            answer = history.person.with_key().post(path, body, content_type="application/json")
            code = "" if answer.status_code == 200 else answer.json()["error"]["code"]
            assert code in {"", *TOO_EARLY_OR_LATE}, answer.text


def _wake(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def begin_something(history: History, chance: random.Random, *, canary: str) -> None:
    """One more task, perhaps in a session that is busy, perhaps with a provider that is ill."""
    if chance.random() < 0.2:
        start_long(history, steps=chance.randint(2, 6))
    else:
        lane = f"{canary.replace('-', '_')}{chance.randrange(40)}"
        start_three_steps(history, session=lane, trouble=chance.choice(TROUBLES))


def everything_ends(history: History, *, within: float) -> None:
    ends_at = time.monotonic() + within
    for run_id in history.accepted:
        history.wait_end(run_id, within=max(1.0, ends_at - time.monotonic()))


def nobody_sees_the_other(first: History, second: History) -> None:
    """I8: the other organisation's run is as one that never was."""
    for mine, other in ((first, second), (second, first)):
        for run_id in other.accepted[:20]:
            assert mine.person.with_key().get(f"/api/runs/{run_id}").status_code == 404


def connections_of(installation: Installation) -> int:
    with psycopg.connect(installation.database_url, autocommit=True) as observer:
        row = observer.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.faults
def test_a_random_soak(installation: Installation, programs: list[HttpClient], peer: Peer, outside: Outside) -> None:
    seconds = float(os.environ.get("FAULTS_SOAK_SECONDS", "180"))
    seed = int(os.environ.get("FAULTS_SEED", random.randrange(1_000_000)))
    print(f"seed {seed}: FAULTS_SEED={seed} FAULTS_SOAK_SECONDS={seconds:.0f}")
    chance = random.Random(seed)
    histories = [
        History(program, peer, outside, is_blind=True, secrets={CANARY, canary_of_the_other})
        for program, canary_of_the_other in zip(programs, ("canary_of_rival", "canary_of_acme"), strict=True)
    ]
    chaos = Chaos(installation, histories, chance)
    baseline = max(connections_of(installation), FULLY_GROWN)

    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        for history, canary in zip(histories, CANARIES, strict=True):
            if sum(len(one.accepted) for one in histories) < MOST_RUNS:
                begin_something(history, chance, canary=canary)
        if chance.random() < 0.5:
            chaos.strike()
        time.sleep(chance.uniform(0, max(0.2, 4 * seconds / MOST_RUNS)))
    for pid in chaos.frozen:
        _wake(pid)
    for history in histories:
        everything_ends(history, within=300)

    for history, follower in chaos.followers:
        follower.join(within=60)
        history.watched(follower.run_id, follower.events)
    ends = Counter(history.read(run_id)["status"] for history in histories for run_id in history.accepted)
    answers = sum((program.answers for program in programs), Counter())
    print(f"{sum(ends.values())} runs: {dict(ends)}; faults: {dict(chaos.done)}; answers: {dict(answers)}")
    for history in histories:
        history.judge()
    nobody_sees_the_other(*histories)
    assert set(ends) <= FINAL
    assert 500 not in answers
    assert CANARY not in installation.logs(), "I9"
    wait_until(lambda: connections_of(installation) <= baseline + 2, within=90, what="I10: connections as before")
    dead = [cluster for cluster in installation.clusters if cluster.process.poll() is not None]
    assert not [cluster.seen & living().keys() for cluster in dead if cluster.seen & living().keys()], "I10"
