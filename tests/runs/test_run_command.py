"""`run` at the terminal: a task is handed over, waited for, or watched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections

from openintern.health import Finding
from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs import checks
from runs.models import Run
from runs.queue.worker import work_once
from tests.conftest import Cast, Person, events_of
from tests.runs.conftest import a_pulse

Say = Callable[..., str]


@pytest.fixture
def say(committed: Cast, monkeypatch: pytest.MonkeyPatch) -> Iterator[Say]:
    """Type a task of Alice's at the terminal, beside a worker; returns what it printed. It must not complain."""
    monkeypatch.setattr(checks, "workers", lambda: Finding(True, 1, "the one of this test"))
    over = threading.Event()

    def work() -> None:
        with a_pulse() as pulse:
            while not over.is_set():
                if not work_once(pulse):
                    over.wait(0.02)
        connections.close_all()

    def run(**options: object) -> str:
        out, err = StringIO(), StringIO()
        whose = {"org": committed.alice.org.slug, "user": committed.alice.user.username}
        call_command(
            "run", "say hello", provider="mock", session=random_text(8), stdout=out, stderr=err, **whose, **options
        )
        assert err.getvalue() == ""
        return out.getvalue()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield run
    over.set()
    thread.join(20)


@pytest.fixture
def alice(committed: Cast) -> Person:
    return committed.alice


def run_of(alice: Person, told: str) -> Run:
    with org_scope(alice.org):
        return Run.objects.get(pk=told.split()[2])


def test_who_waits_reads_the_answer(alice: Person, say: Say) -> None:
    told = say(wait=True)

    run = run_of(alice, told)
    assert told.startswith(f"Run ID: {run.pk}\n")
    assert f"Run completed\n\n{run.output}" in told
    assert alice.with_key().get(f"/api/runs/{run.pk}").json()["status"] == "completed"


def test_who_watches_sees_each_event(alice: Person, say: Say) -> None:
    told = say(stream=True)

    assert "step.completed" in told
    assert "run.completed" in told
    types = [event.type for event in events_of(alice, run_of(alice, told))]
    assert (types[0], types[-1]) == ("run.started", "run.completed")


def test_who_does_neither_hears_how_to_watch(alice: Person, say: Say) -> None:
    told = say()

    run = run_of(alice, told)
    assert told.endswith(f"Watch it: openintern tail {run.pk}\n")
