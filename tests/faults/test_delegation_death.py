"""Workers are killed while a run waits for another one, or for its members: each works once, and is heard once."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from openintern.ids import random_text
from tests.conftest import Person
from tests.faults.history import History
from tests.faults.processes import WorkerCluster, holder_of, wait_until
from tests.faults.test_team_death import make_team


@pytest.fixture
def session() -> str:
    return random_text(10)


def kill(history: History, run_id: str) -> None:
    """Kill -9 the worker at work on a run."""
    os.kill(holder_of(run_id), signal.SIGKILL)
    history.crashes[run_id] += 1


def children(history: History, run_id: str) -> list[dict[str, Any]]:
    answer = history.person.with_key().get(f"/api/runs/{run_id}/children")
    found: list[dict[str, Any]] = answer.json()["children"]
    return found


def test_a_delegated_run_and_its_parent_lose_their_workers(
    shared_cluster: WorkerCluster, history: History, alice: Person, session: str
) -> None:
    """The child's worker dies in a model call while the parent waits; then the parent's, in the call after that."""
    group, of_child, of_parent = make_team(alice, f"one {session}"), f"child-{session}", f"parent-{session}"
    goal = {"group_id": group, "goal": f"find it marker:{session}"}
    history.peer.script(
        {"tool_calls": [{"name": "delegate_to_group", "id": "call_1", "arguments": goal}]},
        {"text": "never heard", "hold": of_child},
        {"text": "In the attic."},
        {"text": "never heard", "hold": of_parent},
        {"text": "It is in the attic."},
        marker=f"marker:{session}",
    )
    run_id = history.start("where is it?", session=session)
    history.peer.wait_held(of_child, timeout=60)
    [child] = children(history, run_id)
    assert history.read(run_id)["status"] == "waiting"

    kill(history, child["run_id"])
    history.wait_event(child["run_id"], "run.resumed")
    history.peer.wait_held(of_parent, timeout=60)
    kill(history, run_id)
    ended = history.wait_status(run_id, "completed")

    assert ended["output"] == "It is in the attic."
    assert [one["run_id"] for one in children(history, run_id)] == [child["run_id"]]
    results = [event["payload"] for event in history.events(run_id) if event["type"] == "tool.result"]
    assert [told["result"]["output"] for told in results] == ["In the attic."]
    for one in (run_id, child["run_id"]):
        history._is_whole(one, history.events(one))


def test_members_beside_each_other_lose_their_workers(
    shared_cluster: WorkerCluster, history: History, alice: Person, session: str
) -> None:
    """Both at once, in a model call each: no member works twice, and the lead hears both once."""
    names = [f"{name} {session}" for name in ("first", "second", "lead")]
    group = make_team(alice, *names, mode="parallel")
    held = [f"{name}-{session}" for name in ("a", "b")]
    history.peer.script(
        *({"text": "never heard", "hold": hold} for hold in held),
        {"text": "One part."},
        {"text": "Another part."},
        {"text": "Both parts."},
        marker=f"marker:{session}",
    )
    run_id = history.start("do both", session=session, group=group)
    for hold in held:
        history.peer.wait_held(hold, timeout=60)
    parts = [one["run_id"] for one in children(history, run_id)]

    for part in parts:
        kill(history, part)
    ended = history.wait_status(run_id, "completed", within=60)

    assert ended["output"] == "Both parts."
    assert [one["run_id"] for one in children(history, run_id)] == parts
    log = history.events(run_id)
    said = [event["payload"]["output"] for event in log if event["type"] == "member.completed"]
    assert sorted(said) == ["Another part.", "Both parts.", "One part."]
    assert [event["type"] for event in log].count("run.waiting") == 1
    for one in (run_id, *parts):
        history._is_whole(one, history.events(one))
    wait_until(lambda: all(history.read(part)["status"] == "completed" for part in parts), within=10)
