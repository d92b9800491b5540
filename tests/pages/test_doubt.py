"""A tool call in doubt is put to people on the pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Effect, Run
from runs.queue import tickets
from tests.conftest import Person, events_of, reload


@pytest.fixture
def waiting(alice: Person, start_run: Callable[..., Run]) -> Run:
    """A run of Alice's whose `send_mail` may or may not have happened."""
    run = start_run(alice, "write to them", session_key="s_doubt")
    with org_scope(alice.org):
        log.append(
            run, Draft(EventType.RUN_STARTED, {"input": run.input}), status=Run.Status.RUNNING, attempt=1, step=1
        )
        log.append(
            run,
            Draft(EventType.RUN_WAITING, {"reason": "effect_in_doubt", "message": "?", "tool_call_id": "c1"}),
            status=Run.Status.WAITING,
        )
        Effect.objects.create(
            run=run,
            tool_call_id="c1",
            step=1,
            ordinal=0,
            tool="send_mail",
            args_hash="",
            recovery="unsure",
            status="in_doubt",
            attempt=1,
            rule="x",
        )
        tickets.park(run)
    return run


@pytest.mark.parametrize("path", ["/chat/s_doubt", "/trace/{run}"])
def test_the_question_stands_where_the_run_is_looked_at(alice: Person, waiting: Run, path: str) -> None:
    shown = alice.signed_in().get(path.format(run=waiting.pk)).content.decode()

    assert "<code>send_mail</code>" in shown
    assert "Run it again" in shown


def test_the_answer_is_recorded_and_the_run_goes_on(alice: Person, waiting: Run) -> None:
    client = alice.signed_in()

    response = client.post(f"/runs/{waiting.pk}/effects/c1", {"outcome": "happened", "next": "/chat/s_doubt"})

    assert response["Location"] == "/chat/s_doubt"
    assert reload(alice, waiting).status == "pending"
    assert EventType.TOOL_SETTLED in [event.type for event in events_of(alice, waiting)]
    assert "alice found that send_mail took effect" in client.get(f"/trace/{waiting.pk}").content.decode()


def test_charlie_and_a_viewer_decide_nothing(charlie: Person, victor: Person, alice: Person, waiting: Run) -> None:
    path = f"/runs/{waiting.pk}/effects/c1"

    assert charlie.signed_in().post(path, {"outcome": "happened"}).status_code == 404
    assert victor.signed_in().post(path, {"outcome": "happened"}).status_code == 403
    assert reload(alice, waiting).status == "waiting"


def test_an_answer_that_is_none_is_refused(alice: Person, waiting: Run) -> None:
    assert alice.signed_in().post(f"/runs/{waiting.pk}/effects/c1", {"outcome": "maybe"}).status_code == 400
