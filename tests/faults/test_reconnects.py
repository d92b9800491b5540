"""Clients hang up and come back, the web process is killed under them: each is told the whole log, once, in order."""

from __future__ import annotations

import random

import pytest

from tests.faults.following import Follower
from tests.faults.history import History
from tests.faults.installation import Installation
from tests.faults.processes import wait_until
from tests.faults.tasks import start_long


def follow_under_restarts(
    installation: Installation, history: History, *, clients: int, steps: int, connections: int, restarts: int
) -> list[Follower]:
    """Let clients follow runs, two each, hanging up after a few events, while the web process is killed under them."""
    chance = random.Random(7)
    runs = [start_long(history, steps=steps) for _ in range(clients // 2)]
    followers = [
        Follower(history.person, run, random.Random(chance.random()), at_most=3).start() for run in [*runs, *runs]
    ]

    def connected() -> int:
        return sum(follower.connections for follower in followers)

    for number in range(1, restarts + 1):
        enough = connections * number // (restarts + 1)
        wait_until(lambda enough=enough: connected() >= enough, within=300, what="reconnects")
        installation.restart_web()
    for follower in followers:
        follower.join(within=300)
        history.watched(follower.run_id, follower.events)
    print(f"{connected()} connections of {clients} clients over {restarts} restarts")
    return followers


def test_every_event_is_told_once_over_restarts(installation: Installation, there: History) -> None:
    followers = follow_under_restarts(installation, there, clients=6, steps=6, connections=90, restarts=2)

    for run_id in there.accepted:
        assert there.wait_end(run_id)["output"] == "Seen it all."
    there.judge()
    assert sum(follower.connections for follower in followers) >= 90


@pytest.mark.faults
def test_a_thousand_reconnects(installation: Installation, there: History) -> None:
    followers = follow_under_restarts(installation, there, clients=16, steps=25, connections=1000, restarts=10)

    for run_id in there.accepted:
        assert there.wait_end(run_id)["output"] == "Seen it all."
    there.judge()
    assert sum(follower.connections for follower in followers) >= 1000
