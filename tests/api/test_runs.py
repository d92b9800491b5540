"""Runs over REST: their fields, their codes, their lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs import lifecycle, log
from runs.events import Draft, EventType
from runs.models import Run
from runs.queue.models import Ticket
from tests.conftest import Person, events_of, reload

META = {
    "run_id", "session_key", "user_id", "project_id", "agent_id", "status", "attempt", "model", "created_at", "started_at",
    "ended_at", "duration_ms", "event_count", "tool_call_count", "parent_run_id", "group_id", "input",
}  # fmt: skip
DETAIL = META | {"output", "error", "usage", "step", "taint", "config"}
MOCK = {"provider": "mock"}
NEVER = "run_" + "0" * 22


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


def post(client: Client, path: str, body: Any = None) -> Any:
    return client.post(path, body or {}, content_type="application/json")


def under_way(person: Person, run: Run, *drafts: Draft) -> Run:
    """Bring a run to where a worker has begun it."""
    with org_scope(person.org):
        log.append(
            run,
            Draft(EventType.RUN_STARTED, {"input": run.input}),
            *drafts,
            status=Run.Status.RUNNING,
            attempt=run.attempt + 1,
            started_at=timezone.now(),
        )
    return run


def test_a_run_is_accepted_with_its_ticket_and_its_row_in_the_audit(client: Client, alice: Person) -> None:
    answer = post(client, "/api/runs", {"input": " a task\n", "llm_config": MOCK, "session_key": "s_one"})

    body = answer.json()
    assert answer.status_code == 201
    assert set(body) == {"run_id", "session_key", "status", "created_at"}
    assert (body["status"], body["session_key"]) == ("pending", "s_one")
    assert answer["Location"] == f"/api/runs/{body['run_id']}"
    assert Ticket.objects.filter(organization=alice.org, run_id=body["run_id"]).count() == 1
    assert AuditEntry.objects.get(object_id=body["run_id"]).action == "run.create"
    assert client.get(answer["Location"]).json()["input"] == " a task\n"


def test_what_is_left_out_has_its_defaults(client: Client) -> None:
    body = client.get(post(client, "/api/runs", {"input": "go"})["Location"]).json()

    assert (body["session_key"], body["agent_id"], body["parent_run_id"]) == ("s_default", "main", None)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "input"),
    ({"input": ""}, "input"),
    ({"input": " \n\t "}, "input"),
    ({"input": None}, "input"),
    ({"input": 5}, "input"),
    ({"input": ["go"]}, "input"),
    ({"input": "a\x00b"}, "input"),
    ({"input": "\ud800"}, "input"),
    ({"input": "go", "session_key": "default"}, "session_key"),
    ({"input": "go", "session_key": "s_"}, "session_key"),
    ({"input": "go", "session_key": "s_a-b"}, "session_key"),
    ({"input": "go", "session_key": "s_" + "a" * 101}, "session_key"),
    ({"input": "go", "session_key": None}, "session_key"),
    ({"input": "go", "agent_id": ""}, "agent_id"),
    ({"input": "go", "agent_id": "a b"}, "agent_id"),
    ({"input": "go", "llm_config": "mock"}, "llm_config"),
    ({"input": "go", "llm_config": {"temperature": 2.1}}, "llm_config.temperature"),
    ({"input": "go", "llm_config": {"temperature": "warm"}}, "llm_config.temperature"),
    ({"input": "go", "llm_config": {"temperature": 1e999}}, "llm_config.temperature"),
    ({"input": "go", "llm_config": {"max_tokens": 0}}, "llm_config.max_tokens"),
    ({"input": "go", "llm_config": {"model": ""}}, "llm_config.model"),
    ({"input": "go", "llm_config": {"base_url": ""}}, "llm_config.base_url"),
    ({"input": "go", "llm_config": {"base_url": "http://127.0.0.1:1/v1"}}, "llm_config.base_url"),
    (
        {"input": "go", "llm_config": {"provider": "openai", "base_url": "https://elsewhere.example"}},
        "llm_config.base_url",
    ),
    ({"input": "go", "llm_config": {"provider": "no\x00ne"}}, "llm_config"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_what_cannot_be_meant_is_refused_by_its_field(client: Client, body: dict[str, Any], field: str) -> None:
    answer = client.generic("POST", "/api/runs", _json(body), content_type="application/json")

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["code"], error["details"]["field"]) == ("VALIDATION_ERROR", field)
    assert not Ticket.objects.exists()


def _json(body: Any) -> str:
    import json

    return json.dumps(body).replace("Infinity", "1e999")


def test_a_field_that_nobody_knows_is_passed_over(client: Client) -> None:
    assert post(client, "/api/runs", {"input": "go", "colour": "red", "attachments": []}).status_code == 201


def test_a_run_is_read_with_all_that_came_of_it(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    run = under_way(alice, start_run(alice, "a task", session_key="s_detail"))

    body = client.get(f"/api/runs/{run.pk}").json()

    assert set(body) == DETAIL
    assert (body["status"], body["attempt"], body["model"], body["event_count"]) == ("running", 1, "mock/mock", 1)
    assert body["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cost_usd": "0.000000"}
    assert "prompt" not in body["config"]
    assert body["started_at"].endswith("Z")
    assert body["created_at"].endswith("Z")


@pytest.mark.parametrize("path", ["", "/events", "/children", "/export", "/effects"])
@pytest.mark.parametrize("run_id", [NEVER, "run_x"])
def test_what_does_not_exist_is_not_found(client: Client, path: str, run_id: str) -> None:
    answer = client.get(f"/api/runs/{run_id}{path}")

    assert answer.status_code == 404
    assert answer.json() == {"error": {"code": "NOT_FOUND", "message": "Run not found"}}


def test_a_waiting_task_is_cancelled_at_once_and_only_once(
    client: Client, alice: Person, start_run: Callable[..., Run]
) -> None:
    run = start_run(alice)

    first = post(client, f"/api/runs/{run.pk}/cancel")
    second = post(client, f"/api/runs/{run.pk}/cancel")

    assert (first.status_code, first.json()) == (200, {"success": True, "run_id": run.pk})
    assert (second.status_code, second.json()["error"]["code"]) == (400, "RUN_ALREADY_FINISHED")
    assert [event.type for event in events_of(alice, run)] == ["run.cancelled"]
    assert not Ticket.objects.filter(run_id=run.pk).exists()
    assert reload(alice, run).attempt == 1


def test_a_message_reaches_only_a_run_that_is_under_way(
    client: Client, alice: Person, start_run: Callable[..., Run]
) -> None:
    run = start_run(alice)
    early = post(client, f"/api/runs/{run.pk}/inject", {"message": "hello"})
    under_way(alice, run)

    now = post(client, f"/api/runs/{run.pk}/inject", {"message": "hello"})
    bad = [
        post(client, f"/api/runs/{run.pk}/inject", body)
        for body in ({}, {"message": "  "}, {"message": 5}, {"message": "a", "role": "system"})
    ]
    post(client, f"/api/runs/{run.pk}/cancel")
    late = post(client, f"/api/runs/{run.pk}/inject", {"message": "hello"})

    assert (now.status_code, now.json()) == (200, {"success": True, "run_id": run.pk})
    assert [answer.json()["error"]["code"] for answer in (early, late)] == ["RUN_NOT_INJECTABLE"] * 2
    assert [answer.json()["error"]["details"]["field"] for answer in bad] == ["message", "message", "message", "role"]
    (event,) = [event for event in events_of(alice, run) if event.type == "user.injected"]
    assert (event.payload["message"], event.payload["from"]) == ("hello", "alice")


def test_children_are_listed_oldest_first_and_only_those_in_sight(
    client: Client, alice: Person, bob: Person, start_run: Callable[..., Run]
) -> None:
    parent, first, second, bobs = start_run(bob), start_run(bob), start_run(bob), start_run(alice)
    with org_scope(alice.org):
        Run.objects.filter(pk__in=[first.pk, second.pk, bobs.pk]).update(parent=parent)

    def ids(person: Person) -> list[str]:
        return [run["run_id"] for run in person.with_key().get(f"/api/runs/{parent.pk}/children").json()["children"]]

    assert ids(alice) == [first.pk, second.pk, bobs.pk]
    assert ids(bob) == [first.pk, second.pk]


def test_pages_of_the_list_neither_repeat_nor_hide_while_runs_come_in(
    client: Client, alice: Person, start_run: Callable[..., Run]
) -> None:
    there = [start_run(alice, f"task {number}").pk for number in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/runs?limit=2{cursor and '&cursor=' + cursor}").json()
        assert all(set(run) == META for run in page["runs"])
        seen += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
        start_run(alice, "one more")  # newer than all that is still to come

    assert seen == there[::-1]


def test_a_cursor_tells_runs_of_one_moment_apart(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    runs = {start_run(alice).pk for _ in range(5)}
    with org_scope(alice.org):
        Run.objects.filter(pk__in=runs).update(created_at=timezone.now())

    first = client.get("/api/runs?limit=3").json()
    second = client.get(f"/api/runs?limit=3&cursor={first['next_cursor']}").json()

    assert sorted(run["run_id"] for page in (first, second) for run in page["runs"]) == sorted(runs)
    assert second["next_cursor"] is None


def test_the_list_is_filtered(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    other = start_run(alice, "Ein Möwenschrei", session_key="s_other", agent_id="gull")
    cancelled = start_run(alice, "100% sure_thing", session_key="s_more")
    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, cancelled.pk, at=timezone.now())

    def ids(**query: str) -> list[str]:
        return [run["run_id"] for run in client.get("/api/runs", query).json()["runs"]]

    assert ids(status="cancelled") == [cancelled.pk]
    assert ids(session_key="s_other") == ids(agent_id="gull") == ids(q="möwen") == ids(q=other.pk) == [other.pk]
    assert ids(q="100%") == ids(q="sure_th") == [cancelled.pk]  # no wildcards
    assert ids(q="%") == [cancelled.pk]
    assert ids(q="' OR 1=1 --") == ids(created_before="2000-01-01T00:00:00Z") == []
    assert ids(created_after="2000-01-01T00:00:00Z") == [cancelled.pk, other.pk]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"multitask_strategy": "z"}, "Must be one of enqueue, reject, interrupt, rollback"),
        ({"session_key": "my talk"}, "Must be s_ and after it 1 to 100 letters, digits or _"),
    ],
)
def test_a_refusal_says_what_would_have_been_right(client: Client, wrong: dict[str, Any], message: str) -> None:
    answer = client.post("/api/runs", {"input": "go", **wrong}, content_type="application/json")

    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=101", "limit=1e3", "limit=NaN", "limit=%D9%A3", "limit=99999999999",
        "cursor=garbage", "cursor=%00", "cursor=bm90IGEgY3Vyc29y", "cursor=MjAyNi0wMS0wMVQwMDowMDowMCswMDowMCBhAGI",
        "status=done", "status=running'", "created_after=yesterday", "created_after=2026-01-01", "created_after=2026-13-40T00:00:00Z",
        "session_key=" + "a" * 201, "order=password", "user__password=x", "q=%00", "Status=pending",
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_meant_is_refused(client: Client, query: str) -> None:
    answer = client.get(f"/api/runs?{query}")

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_the_end_of_time_is_no_time(client: Client, moment: str) -> None:
    import base64

    cursor = base64.urlsafe_b64encode(f"{moment} run_x".encode()).decode().rstrip("=")

    assert client.get("/api/runs", {"created_after": moment}).status_code == 400
    assert client.get("/api/runs", {"cursor": cursor}).status_code == 400


def test_a_sessions_runs_are_leafed_through(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    runs = [start_run(alice, session_key="s_leaf").pk for _ in range(3)]

    first = client.get("/api/sessions/s_leaf/runs?limit=2").json()
    second = client.get("/api/sessions/s_leaf/runs?limit=2&page=2").json()
    empty = client.get("/api/sessions/s_nothing/runs").json()

    assert [run["run_id"] for run in first["runs"] + second["runs"]] == runs[::-1]
    assert {name: first[name] for name in ("total", "page", "limit")} == {"total": 3, "page": 1, "limit": 2}
    assert empty == {"runs": [], "total": 0, "page": 1, "limit": 20}


@pytest.mark.parametrize("query", ["page=0", "page=10001", "page=x", "limit=101", "limit=0"])
def test_pages_have_bounds(client: Client, query: str) -> None:
    assert client.get(f"/api/sessions/s_default/runs?{query}").status_code == 400


def test_conversations_are_ones_own(bob: Person, alice: Person, start_run: Callable[..., Run]) -> None:
    start_run(bob, "the first words", session_key="s_talk")
    start_run(alice, "others", session_key="s_others")

    (session,) = bob.with_key().get("/api/sessions").json()["sessions"]

    assert set(session) == {"session_key", "title", "created_at", "active_at"}
    assert (session["session_key"], session["title"]) == ("s_talk", "the first words")


def test_the_number_of_queries_does_not_grow_with_the_rows(
    client: Client, alice: Person, start_run: Callable[..., Run], django_assert_num_queries: Any
) -> None:
    """Key, membership, the schema and the page; counted with what entering and leaving an organisation costs."""
    start_run(alice)
    client.get("/api/runs")  # the schema is known from here on, the key's last use is written
    with django_assert_num_queries(5):
        client.get("/api/runs")
    runs = [start_run(alice, session_key=f"s_{number}") for number in range(20)]

    with django_assert_num_queries(5):
        assert len(client.get("/api/runs").json()["runs"]) == 20
    with django_assert_num_queries(5):
        client.get(f"/api/runs/{runs[0].pk}")
    with django_assert_num_queries(6):
        client.get(f"/api/runs/{runs[0].pk}/events")
    with django_assert_num_queries(6):
        client.get("/api/sessions/s_1/runs")


def test_a_run_costs_a_bounded_number_of_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    post(client, "/api/runs", {"input": "go", "session_key": "s_counted"})

    with django_assert_max_num_queries(20):
        post(client, "/api/runs", {"input": "go", "session_key": "s_counted"})
