"""What the operator's monitoring is told, and who may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from openintern import metrics
from openintern.database import own_connection_parameters
from openintern.tenancy.scope import org_scope
from runs import checks
from runs.engine import transactions
from runs.models import McpServer, Run
from tests.conftest import Person

Start = Callable[..., Run]
Work = Callable[[], int]


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(metrics.TOKEN, "scraper's secret")
    return "scraper's secret"


def scrape(token: str) -> HttpResponse:
    return Client(headers={"Authorization": f"Bearer {token}"}).get("/metrics")


def read(token: str) -> dict[str, float]:
    """All numbers of ours, by name and labels."""
    answer = scrape(token)
    assert answer.status_code == 200
    return {
        " ".join([sample.name.removeprefix("openintern_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_runs_are_counted_where_they_stand(
    alice: Person, charlie: Person, start_run: Start, work: Work, crash_in: Callable[..., None], token: str
) -> None:
    before = read(token)
    start_run(charlie)
    crash_in(transactions, "finish")
    start_run(alice)

    queued = read(token)
    work()
    done = read(token)

    assert (queued["runs pending"], queued["runs running"], queued["queue_abandoned"]) == (1, 1, 1)
    assert queued["queue_length"] == 1
    assert queued["queue_oldest_wait_seconds"] > 0
    assert done["runs pending"] == done["runs running"] == done["queue_oldest_wait_seconds"] == 0
    assert done["runs_finished_last_hour completed"] - before["runs_finished_last_hour completed"] == 2
    assert done["tokens_last_hour"] - before["tokens_last_hour"] == 140


def test_foreign_servers_in_use_are_counted_by_how_they_fare(alice: Person, token: str) -> None:
    before = read(token)
    with org_scope(alice.org):
        McpServer.objects.create(name="harbour", transport="http", url="https://example.org/mcp", state="failing")
        McpServer.objects.create(
            name="resting", transport="http", url="https://example.org/mcp", state="failing", is_enabled=False
        )
    finding = checks.mcp_servers()

    assert read(token)["mcp_servers failing"] == before["mcp_servers failing"] + 1
    assert not finding.ok
    assert f"{alice.org.slug}/harbour" in finding.summary
    assert "resting" not in finding.summary


def test_a_run_that_ended_long_ago_is_not_of_the_last_hour(
    alice: Person, start_run: Start, work: Work, token: str
) -> None:
    run = start_run(alice)
    work()
    before = read(token)
    with org_scope(alice.org):
        Run.objects.filter(pk=run.pk).update(ended_at="2026-01-01T00:00Z")

    after = read(token)

    assert before["runs_finished_last_hour completed"] - after["runs_finished_last_hour completed"] == 1


def test_live_clusters_and_open_streams_are_counted(
    committed: Any, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(token)
    with psycopg.connect(**own_connection_parameters(), autocommit=True) as own:
        own.execute(
            "INSERT INTO queue_cluster (id, host, pid, workers) VALUES (gen_random_uuid(), 'metrics-test', 1, 3)"
        )
        alive = read(token)
        own.execute("UPDATE queue_cluster SET seen_at = now() - interval '1 minute' WHERE host = 'metrics-test'")
        dead = read(token)
        own.execute("DELETE FROM queue_cluster WHERE host = 'metrics-test'")
    monkeypatch.setattr(metrics, "client_count", lambda: 7)

    assert (alive["clusters_alive"] - before["clusters_alive"], alive["workers_alive"] - before["workers_alive"]) == (
        1,
        3,
    )
    assert dead["clusters_alive"] == before["clusters_alive"]
    assert read(token)["sse_clients"] == 7
    assert before["process_resident_memory_bytes"] > 0


def test_no_name_of_an_organisation_or_a_person_is_told(alice: Person, start_run: Start, token: str) -> None:
    start_run(alice, "a secret task")

    page = scrape(token).content.decode()

    assert not any(name in page for name in ("acme", "rival", "alice", "secret task", alice.org.schema_name))


def test_without_the_database_the_process_still_answers(
    committed: Any, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr(metrics, "_collectors", [away])

    told = read(token)

    assert told["database_up"] == 0
    assert told["process_resident_memory_bytes"] > 0


@pytest.mark.parametrize("given", ["", "wrong", "scraper's"])
def test_a_wrong_token_is_a_wrong_key(committed: Any, given: str) -> None:
    assert scrape(given).status_code == 401


def test_without_a_token_nobody_gets_in_by_an_empty_one(committed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.TOKEN)

    assert scrape("").status_code == 401


def test_an_owner_is_not_the_operator(alice: Person, charlie: Person) -> None:
    answers = [alice.signed_in().get("/metrics"), charlie.with_key().get("/metrics"), Client().get("/metrics")]

    assert [answer.status_code for answer in answers] == [404, 404, 302]


def test_the_token_opens_nothing_else(committed: Any, token: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {token}"})

    assert [client.get(path).status_code for path in ("/api/me", "/metrics/", "/api/runs")] == [401, 401, 401]
    assert client.post("/metrics").status_code == 405
