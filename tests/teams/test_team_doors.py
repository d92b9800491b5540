"""The doors through which a team is given a task, and where it is seen what came of it."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from openintern.errors import OpenInternError
from openintern.tenancy.models import Project
from openintern.tenancy.scope import org_scope
from runs.models import Run, Schedule
from teams.models import Group
from tests.conftest import Person, events_of, reload
from tests.runs.test_scheduling import clear, fire, runs_of, schedule
from tests.teams.rosters import make_team, start_team, turns_of

Work = Callable[[], int]
TWO: dict[str, Any] = {"a": [{"text": "The sky is blue."}], "lead": [{"text": "Paint it."}]}


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


@pytest.fixture
def team(alice: Person) -> Group:
    return make_team(alice, lead="lead", scripts=TWO)


def post(client: Client, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return client.post(path, body, content_type="application/json", headers=headers or {})


def test_a_team_is_given_a_task_by_rest(client: Client, team: Group, alice: Person, work: Work) -> None:
    answer = post(client, f"/api/groups/{team.pk}/runs", input="Which colour?")

    told = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"/api/runs/{told['run_id']}"
    assert (told["group_id"], told["status"]) == (team.pk, "pending")
    assert set(told) == {"run_id", "group_id", "status", "created_at"}
    work()
    run = client.get(f"/api/runs/{told['run_id']}").json()
    assert (run["output"], run["group_id"], run["agent_id"]) == ("Paint it.", team.pk, f"group:{team.pk}")
    members = run["config"]["team"]["members"]
    assert [one["is_lead"] for one in members] == [False, True]
    assert "prompt" not in run["config"]
    assert all("prompt" not in one["config"] for one in members)
    listed = client.get("/api/runs", {"group_id": team.pk}).json()["runs"]
    assert [one["run_id"] for one in listed] == [told["run_id"]]


def test_the_runs_door_takes_a_group_too(client: Client, team: Group) -> None:
    for body in ({"group_id": team.pk}, {"agent_id": f"group:{team.pk}"}):
        run_id = post(client, "/api/runs", input="a task", **body).json()["run_id"]
        assert client.get(f"/api/runs/{run_id}").json()["group_id"] == team.pk


def test_the_same_key_starts_one_run(client: Client, team: Group) -> None:
    key = {"Idempotency-Key": f"team-{team.pk}"}

    first, second = (post(client, f"/api/groups/{team.pk}/runs", key, input="a task").json() for _ in range(2))
    other = post(client, f"/api/groups/{team.pk}/runs", key, input="another task")

    assert first == second
    assert other.json()["error"]["code"] == "IDEMPOTENCY_MISMATCH"


def test_a_group_without_members_is_given_nothing(client: Client, alice: Person) -> None:
    empty = make_team(alice, scripts={})

    answer = post(client, f"/api/groups/{empty.pk}/runs", input="a task")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "body", [{}, {"input": " "}, {"input": "x", "session_key": "!"}, {"input": "x", "llm_config": 3}]
)
def test_a_task_that_cant_be_meant_is_refused(client: Client, team: Group, body: dict[str, Any]) -> None:
    assert post(client, f"/api/groups/{team.pk}/runs", **body).status_code == 400


def test_charlie_finds_neither_the_group_nor_its_runs(charlie: Person, alice: Person, team: Group) -> None:
    start_team(alice, team)
    client = charlie.with_key()

    answers = [
        post(client, f"/api/groups/{team.pk}/runs", input="a task"),
        post(client, "/api/runs", input="a task", group_id=team.pk),
        client.get(f"/api/groups/{team.pk}/runs"),
        client.get(f"/api/groups/{team.pk}/stats"),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4
    assert client.get("/api/runs", {"group_id": team.pk}).json()["runs"] == []


def test_history_and_stats_tell_of_the_runs_in_sight(
    client: Client, alice: Person, bob: Person, team: Group, work: Work
) -> None:
    good = start_team(alice, team, "first")
    work()
    bad = start_team(alice, team, "second", llm_config={"provider": "scripted", "model": "[]"})
    work()
    waiting = start_team(alice, team, "third")

    history = client.get(f"/api/groups/{team.pk}/runs", {"limit": 2, "offset": 1}).json()["runs"]
    stats = client.get(f"/api/groups/{team.pk}/stats").json()

    assert [(one["run_id"], one["status"]) for one in history] == [(bad.pk, "failed"), (good.pk, "completed")]
    assert set(history[0]) == {"run_id", "status", "input", "created_at", "ended_at", "duration_ms"}
    assert (stats["run_count"], stats["completed_count"], stats["failed_count"]) == (3, 1, 1)
    assert stats["success_rate"] == pytest.approx(1 / 3)
    ended = [reload(alice, run).duration_ms or 0 for run in (good, bad)]
    assert stats["avg_duration_ms"] == pytest.approx(sum(ended) / 2, abs=2)
    assert reload(alice, waiting).status == "pending"
    unseen = bob.with_key().get(f"/api/groups/{team.pk}/stats").json()
    assert (unseen["run_count"], unseen["success_rate"], unseen["avg_duration_ms"]) == (0, 0.0, None)


@pytest.mark.parametrize(
    "query", [{"limit": "x"}, {"limit": "101"}, {"offset": "-1"}, {"offset": "1e3"}, {"page": "1"}]
)
def test_paging_that_cant_be_meant_is_refused(client: Client, team: Group, query: dict[str, str]) -> None:
    assert client.get(f"/api/groups/{team.pk}/runs", query).status_code == 400


def test_the_command_names_a_team(alice: Person, team: Group) -> None:
    out = StringIO()
    whose = {"org": alice.org.slug, "user": alice.user.username, "stdout": out, "stderr": StringIO()}

    call_command("run", "Which colour?", team=team.name, session="of_the_command", stream=True, **whose)

    mark = team.name.removeprefix("team ")
    assert f"member.started        a {mark}, round 1: Which colour?" in out.getvalue()
    assert f"member.completed      a {mark}: The sky is blue." in out.getvalue()
    assert f"message.decision      lead {mark}: Paint it." in out.getvalue()
    with pytest.raises(CommandError, match="not found"):
        call_command("run", "hello", team="nobody", **whose)
    with org_scope(alice.org):
        run = Run.objects.filter(group_id=team.pk).latest("created_at")
    assert events_of(alice, run)[-1].type == "run.completed"


def test_in_the_chat_a_projects_team_answers_on_its_own_page(alice: Person, project_of: Callable[..., Project]) -> None:
    """It works in the project, so its answer belongs to a conversation there."""
    team = make_team(alice, lead="lead", scripts=TWO, project=project_of(alice))
    page, told = alice.signed_in(), {"input": "Which colour?", "agent_id": f"group:{team.pk}"}

    answers = [page.post("/chat/s_projects", told, headers=headers) for headers in ({}, {"HX-Request": "true"})]

    runs = [answer[name].rpartition("/")[2] for answer, name in zip(answers, ("Location", "HX-Redirect"), strict=True)]
    for run_id in runs:
        assert page.get(f"/api/runs/{run_id}").json()["group_id"] == team.pk
    own = page.post("/chat/s_own", {"input": "a task", "agent_id": f"group:{make_team(alice, scripts=TWO).pk}"})
    assert own["Location"] == "/chat/s_own"


def test_a_team_is_given_a_task_by_the_clock(alice: Person, charlie: Person, team: Group, work: Work) -> None:
    one = schedule(alice, group_id=team.pk)

    fired = fire(alice, one)
    work()

    assert fired is not None
    [run] = runs_of(alice, one)
    assert (run.group_id, run.status) == (team.pk, "completed")
    assert turns_of(alice, run) == ["a", "lead"]
    clear(alice)
    refused = [
        (alice, {"group_id": "grp_none"}),
        (alice, {"group_id": team.pk, "role_id": "role_x"}),
        (charlie, {"group_id": team.pk}),
    ]
    for person, told in refused:
        with pytest.raises(OpenInternError):
            schedule(person, **told)


def test_the_page_of_schedules_offers_teams(alice: Person, team: Group) -> None:
    told = {"name": "news", "input": "what is new?", "cron": "0 8 * * *", "group_id": team.pk}

    page = alice.signed_in()
    answer = page.post("/schedules", told, follow=True)

    assert f'<option value="{team.pk}"' in answer.content.decode()
    with org_scope(alice.org):
        made = Schedule.objects.get(group_id=team.pk)
    shown = page.get(f"/schedules/{made.pk}").content.decode()
    assert f'<option value="{team.pk}" selected>' in shown
    clear(alice)
