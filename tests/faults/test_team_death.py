"""Workers are killed under a team: the right member goes on, and nobody works twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.ids import random_text
from tests.conftest import Person
from tests.faults.history import History
from tests.faults.processes import WorkerCluster
from tests.faults.tasks import strike
from tests.faults.test_worker_death import kill_holder


def make_team(person: Person, *names: str, **told: Any) -> str:
    """Make roles of these names and a group of them over REST, the last one its lead; return the group's id."""
    client, mark = person.with_key(), random_text(6)

    def post(path: str, **body: Any) -> dict[str, Any]:
        answer = client.post(f"/api/{path}", body, content_type="application/json")
        assert answer.status_code == 201, answer.content
        told: dict[str, Any] = answer.json()
        return told

    group = post("groups", name=f"team {mark}", **told)["id"]
    for name in names:
        role = post("roles", name=f"{name} {mark}", system_prompt=f"You are {name}.", is_lead=name == names[-1])
        post(f"groups/{group}/members", role_id=role["id"])
    return str(group)


@pytest.mark.slow
def test_a_member_that_kills_its_workers_fails_and_its_team_goes_on(
    start_cluster: Callable[..., WorkerCluster], history: History, alice: Person
) -> None:
    start_cluster(workers=1)
    session = random_text(10)
    history.is_blind = True  # on a machine that is busy elsewhere, a lease may be lost besides
    history.peer.script(
        {"tool_calls": [{"name": "take_down", "id": "down"}]},
        {"text": "The sea is green."},
        {"text": "Paint it."},
        marker=f"marker:{session}",
    )
    run_id = history.start("which colour?", session=session, group=make_team(alice, "first", "second", "lead"))

    ended = history.wait_status(run_id, "completed", within=90)

    log = history.events(run_id)
    [lost] = [event for event in log if event["type"] == "member.failed"]
    assert (lost["payload"]["code"], lost["payload"]["role"].split()[0]) == ("WORKER_LOST", "first")
    heard = [event["payload"]["role"].split()[0] for event in log if event["type"] == "member.completed"]
    assert (heard, ended["output"]) == (["second", "lead"], "Paint it.")
    assert sum(event["type"] == "run.resumed" for event in log) >= 3
    history.judge()


def test_kill_9_under_each_member_of_a_team(shared_cluster: WorkerCluster, history: History, alice: Person) -> None:
    session = random_text(10)
    history.is_blind = True  # on a machine that is busy elsewhere, a lease may be lost besides
    holds = [f"{name}-{session}" for name in ("first", "second", "lead")]
    history.peer.script(
        strike("keyed", f"keyed-{session}"),
        {"text": "never heard", "hold": holds[0]},
        {"text": "The sky is blue."},
        {"text": "never heard", "hold": holds[1]},
        {"text": "The sea is green."},
        {"text": "never heard", "hold": holds[2]},
        {"text": "Paint it."},
        marker=f"marker:{session}",
    )
    run_id = history.start("which colour?", session=session, group=make_team(alice, "first", "second", "lead"))

    for hold in holds:
        history.peer.wait_held(hold, timeout=60)
        kill_holder(history, run_id)
    ended = history.wait_status(run_id, "completed", within=90)

    log = history.events(run_id)
    assert ended["output"] == "Paint it."
    assert ended["attempt"] >= 1 + len(holds)
    for type_ in ("member.started", "member.completed"):
        assert [event["payload"]["role"].split()[0] for event in log if event["type"] == type_] == [
            "first",
            "second",
            "lead",
        ]
    assert sum(event["type"] == "message.decision" for event in log) == 1
    assert {event["group_id"] for event in log} == {ended["group_id"]}
    history.judge()
