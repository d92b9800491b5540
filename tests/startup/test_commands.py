"""`init`, `doctor` and `/health` where the answer doesn't depend on processes of their own."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from openintern import checks, configuration, health
from openintern.health import Finding


def test_init_writes_the_defaults_and_keeps_a_file_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.config.json"
    monkeypatch.setenv("OPENINTERN_CONFIG", str(path))

    call_command("init", stdout=StringIO())

    assert json.loads(path.read_text()) == configuration.template()
    path.write_text("mine")
    with pytest.raises(CommandError, match="--force"):
        call_command("init", stdout=StringIO())
    assert path.read_text() == "mine"
    call_command("init", force=True, stdout=StringIO())
    assert json.loads(path.read_text()) == configuration.template()


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace what is checked."""
    monkeypatch.setattr(health, "_checks", {})
    return health.check


@pytest.mark.django_db
def test_health_is_503_without_a_worker_and_names_what_is_missing(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM public.queue_cluster")  # other tests' workers were alive a moment ago

    answer = client.get("/health")

    body = answer.json()
    assert answer.status_code == 503
    assert body["missing"] == ["workers"]
    assert body["database"] == body["migrations"] == "ok"
    assert set(body["queue"]) >= {"length", "processing"}
    assert body["sse"] == {"clients": 0}


@pytest.mark.django_db
def test_health_tells_strangers_no_names(client: Client) -> None:
    text = client.get("/health").content.decode()

    assert "org_" not in text
    assert "127.0.0.1" not in text


def test_health_is_200_when_all_that_is_essential_is_there(only: Any, client: Client) -> None:
    only("database", essential=True)(lambda: Finding(True, "ok", ""))
    only("queue")(lambda: Finding(False, {"length": 9}, "slow"))
    only("disk", public=False, essential=True)(lambda: Finding(False, 0, "full"))

    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json()["queue"] == {"length": 9}
    assert "disk" not in answer.json()


def test_what_needs_the_database_is_not_asked_while_it_is_away(only: Any, client: Client) -> None:
    asked = []
    only("database", essential=True, needs_database=False, order=1)(lambda: Finding(False, "unavailable", ""))
    only("workers", essential=True)(lambda: asked.append("workers") or Finding(True, 1, ""))  # type: ignore[func-returns-value]

    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["missing"] == ["database", "workers"]
    assert asked == []


def test_a_check_that_breaks_is_broken_and_the_others_are_made(only: Any, client: Client) -> None:
    only("odd", essential=True, order=1)(lambda: Finding(True, 1 // 0, ""))
    only("even", order=2)(lambda: Finding(True, 2, ""))

    answer = client.get("/health")

    assert answer.json()["missing"] == ["odd"]
    assert answer.json()["even"] == 2
    assert "division" not in answer.content.decode()


def test_doctor_repairs_what_it_can_and_fails_for_the_rest(only: Any) -> None:
    repaired = []
    only("directory", fix=lambda: repaired.append(1))(lambda: Finding(bool(repaired), "", "gone", "make it"))
    only("key")(lambda: Finding(False, "", "no key", "set one"))
    screen = StringIO()

    with pytest.raises(CommandError, match="1 of 2 checks failed: key"):
        call_command("doctor", fix=True, stdout=screen, no_color=True)

    assert repaired == [1]
    lines = screen.getvalue().splitlines()
    assert lines[0].split() == ["ok", "directory", "gone"]
    assert "set one" in lines[2]


def test_doctor_is_content_when_all_is_well(only: Any) -> None:
    only("disk")(lambda: Finding(True, 1, "room", "never shown"))
    screen = StringIO()

    call_command("doctor", stdout=screen, no_color=True)

    assert "never shown" not in screen.getvalue()


@pytest.mark.django_db
def test_an_organisation_that_is_behind_is_found(cast: Any) -> None:
    from openintern.tenancy.models import Organization

    assert checks.migrations().ok
    Organization.objects.filter(slug="acme").update(migrated_to="")

    finding = checks.migrations()

    assert not finding.ok
    assert "acme" in finding.summary
    assert finding.report == "behind"
