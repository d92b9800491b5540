"""How many queries a request takes: the same for few rows and for many. A number that rises is a decision, made here."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.scope import org_scope
from runs.models import Approval, Run
from runs.queue import tickets
from tests.conftest import Person

FEW, MANY = 2, 12  # runs beside the one that is asked for

#: By key, as programs ask.
API = {
    "/api/runs": 3,
    "/api/runs/{run}": 3,
    "/api/runs/{run}/events": 4,
    "/api/runs/{run}/children": 4,
    "/api/runs/{run}/effects": 4,
    "/api/sessions": 3,
    "/api/approvals": 3,
    "/api/budgets": 3,
    "/api/memories": 4,
}
#: By session, as browsers ask.
PAGES = {
    "/": 7,
    "/chat/{session}": 10,  # one of them asks which teams there are
    "/runs": 6,
    "/trace/{run}": 7,  # one of them asks whom it gave work to
    "/approvals": 8,
    "/memory": 10,
}
#: What starts work, with one transaction each.
STARTED = 15  # two of them are what the run is given: skills, and foreign servers


@pytest.fixture
def full(alice: Person, start_run: Callable[..., Run], work: Callable[[], int]) -> Callable[[int], Run]:
    """Finish so many runs of Alice's, each with a tool call, beside a memory and an approval of hers; return the last."""

    def fill(count: int) -> Run:
        with org_scope(alice.org):
            remember(owner=Owner.of_user(alice.user), tier="core", text=f"{count} runs", origin=Origin())
            ask_for_approval(start_run(alice, "to be approved", session_key="s_asking"))
        steps = [{"tool_calls": [{"name": "list_files", "arguments": {}}]}, {"text": "Done."}]
        runs = [start_run(alice, f"task {n}", steps=steps, session_key="s_counted") for n in range(count)]
        work()
        return runs[-1]

    return fill


@pytest.mark.parametrize(("path", "allowed"), API.items())
def test_an_answer_of_the_api_takes_so_many_queries(
    alice: Person, full: Callable[[int], Run], path: str, allowed: int
) -> None:
    few, many = counts(alice.with_key(), path, full)

    assert few == many <= allowed


@pytest.mark.parametrize(("path", "allowed"), PAGES.items())
def test_a_page_takes_so_many_queries(alice: Person, full: Callable[[int], Run], path: str, allowed: int) -> None:
    few, many = counts(alice.signed_in(), path, full)

    assert few == many <= allowed


def test_starting_a_run_takes_so_many_queries(alice: Person) -> None:
    client = alice.with_key()
    body = json.dumps({"input": "a task", "session_key": "s_counted"})
    client.post("/api/runs", body, content_type="application/json")

    with CaptureQueriesContext(connection) as queries:
        answer = client.post("/api/runs", body, content_type="application/json")

    assert answer.status_code == 201
    assert len(asked(queries)) <= STARTED, listed(queries)


def ask_for_approval(run: Run) -> None:
    tickets.close(run)  # nobody works on it
    Approval.objects.create(
        run=run,
        tool_call_id="call_1",
        step=1,
        agent_id="main",
        tool="send",
        risk="high",
        arguments={},
        rule="risk.high",
        reason="",
        expires_at=timezone.now() + timedelta(days=1),
    )


def counts(client: Client, path: str, full: Callable[[int], Run]) -> tuple[int, int]:
    """Return how many queries the path takes beside few runs, and beside many."""
    return count(client, path, full(FEW)), count(client, path, full(MANY))


def count(client: Client, path: str, run: Run) -> int:
    url = path.format(run=run.pk, session=run.session.key)
    assert client.get(url).status_code == 200  # what is asked once per process is known now
    with CaptureQueriesContext(connection) as queries:
        client.get(url)
    print(listed(queries))  # shown where the number is another
    return len(asked(queries))


def asked(queries: CaptureQueriesContext) -> list[str]:
    """What was asked of tables. Where the search path stood before is a matter of what the connection did last."""
    return [query["sql"] for query in queries.captured_queries if not query["sql"].startswith("SET search_path")]


def listed(queries: CaptureQueriesContext) -> str:
    return "\n".join(query["sql"][:200] for query in queries.captured_queries)
