"""The database is restarted at once, in the middle of everything, again and again: work waits for it, and goes on."""

from __future__ import annotations

import random
import threading
import time

import pytest

from openintern.ids import random_text
from tests.faults.following import Follower
from tests.faults.history import History
from tests.faults.installation import Installation
from tests.faults.processes import wait_until
from tests.faults.tasks import start_three_steps


def assert_all_end_well(history: History) -> None:
    for run_id in history.accepted:
        assert history.wait_end(run_id, within=120)["output"] == "Both struck."
    history.judge()
    assert set(history.person.answers) <= {0, 200, 201, 204, 409, 503}, history.person.answers


def test_a_restart_in_the_middle_of_steps_loses_and_repeats_nothing(installation: Installation, there: History) -> None:
    name = f"slow-{random_text(6)}"
    held = start_three_steps(there, trouble={"hold": name})
    there.peer.wait_held(name, timeout=60)
    watcher = Follower(there.person, held, random.Random(1)).start()
    others = [start_three_steps(there) for _ in range(7)]

    back_at = installation.restart_database()
    there.peer.release(name)
    late = start_three_steps(there)
    wait_until(lambda: "step.completed" in there.types(late), within=60, what="work")
    went_on = time.monotonic() - back_at
    installation.restart_database()
    watcher.join()

    print(f"work went on {went_on:.1f} s after the database was back; {watcher.connections} connections of the stream")
    there.watched(held, watcher.events)
    assert len(others) == 7
    assert_all_end_well(there)


@pytest.mark.faults
def test_two_hundred_runs_under_restarts(installation: Installation, there: History) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    is_over = threading.Event()
    followers: list[Follower] = []

    def restart_again_and_again() -> None:
        while not is_over.wait(chance.uniform(5, 40)):
            installation.restart_database()

    restarting = threading.Thread(target=restart_again_and_again, daemon=True)
    restarting.start()
    try:
        for number in range(200):
            start_three_steps(there, session=f"{number % 50}x", trouble={"drip": 0.2})
            if number % 20 == 0:
                followers.append(Follower(there.person, there.accepted[-1], chance).start())
            is_over.wait(0.5)
        for run_id in there.accepted:
            there.wait_end(run_id, within=300)
    finally:
        is_over.set()
        restarting.join(60)
    for follower in followers:
        follower.join()
        there.watched(follower.run_id, follower.events)

    print(f"{installation.database_restarts} restarts; answers: {dict(there.person.answers)}")
    assert installation.database_restarts >= 5
    assert_all_end_well(there)
