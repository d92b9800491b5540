"""A run's events by pages and as a file: the same events, whichever way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.core.asgi import get_asgi_application
from django.db import connection
from django.test import Client

from openintern.tenancy.scope import org_scope
from runs.events import Draft, EventType
from runs.export import _BATCH
from runs.models import LiveText, Run
from runs.rest.runs import _PIECE
from tests.api.test_runs import NEVER, under_way
from tests.conftest import Cast, Person

ENVELOPE = {
    "v", "seq", "ts", "session_key", "run_id", "agent_id", "step_id", "span_id", "parent_span_id", "attempt", "redaction", "type", "payload",
    "group_id", "message_type",
}  # fmt: skip


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


@pytest.fixture
def run(alice: Person, start_run: Callable[..., Run]) -> Run:
    """A run with seven events, three of them steps."""
    steps = [Draft(EventType.STEP_STARTED, {"stepNumber": number}, step=number) for number in (1, 2, 3)]
    calls = [Draft(EventType.LLM_CALLED, {"text": "“quotation”\u2028 and 文字"}, step=number) for number in (1, 2, 3)]
    return under_way(
        alice,
        start_run(alice, session_key="s_events"),
        *(draft for pair in zip(steps, calls, strict=True) for draft in pair),
    )


def pages(client: Client, run: Run, query: str) -> list[list[dict[str, Any]]]:
    """All pages, by following the cursor."""
    found, cursor = [], ""
    while True:
        page = client.get(f"/api/runs/{run.pk}/events?{query}{cursor}").json()
        found.append(page["events"])
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def whole(answer: Any) -> bytes:
    """All of an answer that comes in pieces."""
    return b"".join(answer)


def test_pages_follow_each_other_without_gap_or_repetition(client: Client, run: Run) -> None:
    first, second, third, fourth = pages(client, run, "limit=2")

    assert [len(page) for page in (first, second, third, fourth)] == [2, 2, 2, 1]
    assert [event["seq"] for page in (first, second, third, fourth) for event in page] == [1, 2, 3, 4, 5, 6, 7]
    assert all(set(event) == ENVELOPE for event in first)
    assert client.get(f"/api/runs/{run.pk}/events").json()["total"] == 7


def test_a_type_is_filtered_before_the_page_is_cut(client: Client, run: Run) -> None:
    first, *others = pages(client, run, "limit=2&type=step.started")

    assert [event["type"] for event in first] == ["step.started", "step.started"]
    assert [event["step_id"] for page in (first, *others) for event in page] == ["step_0001", "step_0002", "step_0003"]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "cursor=-1",
        "cursor=x",
        "cursor=9999999999",
        "type=run.flown",
        "type='",
        "include_tokens=maybe",
        "order=seq",
        "type=%00",
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(client: Client, run: Run, query: str) -> None:
    assert client.get(f"/api/runs/{run.pk}/events?{query}").status_code == 400


def test_a_cursor_past_the_end_finds_nothing(client: Client, run: Run) -> None:
    assert client.get(f"/api/runs/{run.pk}/events?cursor=2147483647").json() == {
        "events": [],
        "total": 7,
        "next_cursor": None,
    }


def test_the_text_so_far_is_told_only_to_who_asks(client: Client, alice: Person, run: Run) -> None:
    with org_scope(alice.org):
        LiveText.objects.create(run=run, attempt=run.attempt, step=3, text="so far")

    stored = client.get(f"/api/runs/{run.pk}/events").json()["events"]
    *_, token = client.get(f"/api/runs/{run.pk}/events?include_tokens=1").json()["events"]

    assert not [event for event in stored if event["type"] == "llm.token"]
    assert (token["type"], token["seq"], token["payload"]["token"]) == ("llm.token", None, "so far")


@pytest.mark.parametrize("type_", ["", "llm.called"])
def test_an_export_is_what_the_api_tells(client: Client, run: Run, type_: str) -> None:
    told = client.get(f"/api/runs/{run.pk}/events?limit=1000{type_ and '&type=' + type_}").json()["events"]
    lines = client.get(f"/api/runs/{run.pk}/export?type={type_}")
    array = client.get(f"/api/runs/{run.pk}/export?format=json&type={type_}")

    assert [json.loads(line) for line in whole(lines).decode().split("\n") if line] == told != []
    assert json.loads(whole(array)) == told
    assert (lines["Content-Type"], array["Content-Type"]) == ("application/x-ndjson", "application/json")
    assert lines["Content-Disposition"] == f'attachment; filename="{run.pk}{type_ and "-" + type_}.jsonl"'
    assert array["X-Content-Type-Options"] == "nosniff"


def test_an_export_of_nothing_is_an_empty_list(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    run = start_run(alice)

    assert whole(client.get(f"/api/runs/{run.pk}/export")) == b""
    assert json.loads(whole(client.get(f"/api/runs/{run.pk}/export?format=json"))) == []


def test_a_long_export_is_whole(client: Client, alice: Person, start_run: Callable[..., Run]) -> None:
    many = 2 * _BATCH + 1
    run = under_way(
        alice,
        start_run(alice),
        *[Draft(EventType.USER_INJECTED, {"message": str(number)}) for number in range(many - 1)],
    )

    lines = whole(client.get(f"/api/runs/{run.pk}/export")).splitlines()

    assert [json.loads(line)["seq"] for line in lines] == list(range(1, many + 1))


@pytest.mark.parametrize("query", ["format=xml", "format=", "type=nothing", "limit=1"])
def test_an_export_in_no_known_form_is_refused(client: Client, run: Run, query: str) -> None:
    assert client.get(f"/api/runs/{run.pk}/export?{query}").status_code == 400
    assert client.get(f"/api/runs/{NEVER}/export?format=jsonl").status_code == 404


def test_an_export_that_nobody_reads_to_its_end_leaves_no_organisation_entered(alice: Person, run: Run) -> None:
    answer = alice.with_key().get(f"/api/runs/{run.pk}/export")

    answer.close()

    assert connection.schema_name == "public"
    assert answer.is_async  # under ASGI it would be held as a whole otherwise


def test_an_export_is_whole_as_the_web_process_sends_it(
    committed: Cast, start_run: Callable[..., Run], recwarn: pytest.WarningsRecorder
) -> None:
    alice = committed.alice
    drafts = [Draft(EventType.USER_INJECTED, {"message": str(number)}) for number in range(_PIECE)]
    run = under_way(alice, start_run(alice, session_key="s_exported"), *drafts)

    async def download() -> httpx.Response:
        transport = httpx.ASGITransport(app=get_asgi_application())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=alice.headers) as client:
            return await client.get(f"/api/runs/{run.pk}/export")

    lines = asyncio.run(download()).text.split("\n")

    assert [json.loads(line)["seq"] for line in lines if line] == list(range(1, _PIECE + 2))
    assert not [warning for warning in recwarn if "iterator" in str(warning.message)]
