"""A second task for a busy session, the same task sent twice, and runs that are deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from openintern.errors import OpenInternError
from openintern.ids import random_text
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.llm import scripted
from runs.models import Event, LiveText, Run
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import Hand, eventually, status_of, ticket_of
from tests.runs.test_engine import listen, of_type

Start = Callable[..., Run]
Work = Callable[[], int]


@pytest.fixture
def session_key() -> str:
    return f"s_{random_text(8)}"


def test_a_busy_session_can_reject_a_second_run(alice: Person, start_run: Start, session_key: str) -> None:
    first = start_run(alice, session_key=session_key)

    with pytest.raises(OpenInternError) as refused:
        start_run(alice, session_key=session_key, multitask_strategy="reject")

    assert refused.value.status == 409
    assert status_of(alice, first) == "pending"


def test_an_idle_session_takes_what_would_be_rejected_else(
    alice: Person, start_run: Start, work: Work, session_key: str
) -> None:
    start_run(alice, session_key=session_key)
    work()

    second = start_run(alice, session_key=session_key, multitask_strategy="reject")

    assert status_of(alice, second) == "pending"


def test_an_interrupted_run_is_remembered_with_what_it_had_said(
    alice: Person,
    start_run: Start,
    work: Work,
    hire: Callable[[], Hand],
    session_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold = random_text(8)
    scripted.play(hold, {"text": "Half an", "hold": hold})
    first = start_run(alice, "the first", llm_config={"provider": "scripted", "model": hold}, session_key=session_key)
    hand = hire()
    eventually(lambda: live_text_of(alice, first) == "Half an")

    second = start_run(
        alice,
        "the second",
        steps=[{"text": "x"}, {"text": "Yes."}],
        session_key=session_key,
        multitask_strategy="interrupt",
    )
    hand.join()
    heard = listen(monkeypatch)
    work()

    assert (status_of(alice, first), reload(alice, first).output) == ("cancelled", "Half an")
    assert of_type(events_of(alice, first), "run.cancelled")[0]["reason"] == "interrupted"
    assert status_of(alice, second) == "completed"
    told = [message["content"] for message in heard[0].messages[1:]]
    assert told == ["the first", "Half an", "the second"]


def test_a_run_rolled_back_is_forgotten(
    alice: Person, start_run: Start, work: Work, session_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start_run(alice, "the first", session_key=session_key)
    heard = listen(monkeypatch)

    start_run(alice, "the second", steps=[{"text": "Yes."}], session_key=session_key, multitask_strategy="rollback")
    work()

    assert status_of(alice, first) == "cancelled"
    assert [message["content"] for message in heard[0].messages[1:]] == ["the second"]


def test_an_unknown_strategy_is_refused(alice: Person, start_run: Start) -> None:
    with pytest.raises(OpenInternError) as refused:
        start_run(alice, multitask_strategy="whatever")

    assert refused.value.details == {"field": "multitask_strategy"}


def test_the_same_key_and_body_start_one_run(alice: Person, bob: Person) -> None:
    key, body = random_text(12), {"input": "once", "llm_config": {"provider": "mock"}}

    first = send(alice, key, body)
    second = send(alice, key, body)
    bobs = send(bob, key, body)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert bobs.json()["run_id"] != first.json()["run_id"]


def test_the_same_key_with_another_body_is_a_mistake(alice: Person) -> None:
    key = random_text(12)
    send(alice, key, {"input": "once", "llm_config": {"provider": "mock"}})

    refused = send(alice, key, {"input": "twice", "llm_config": {"provider": "mock"}})

    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "IDEMPOTENCY_MISMATCH")


def test_ten_at_once_with_one_key_start_one_run(alice: Person) -> None:
    key, answers = random_text(12), []

    def post() -> None:
        try:
            answers.append(send(alice, key, {"input": "once", "llm_config": {"provider": "mock"}}))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=post) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["run_id"] for answer in answers if answer.status_code == 201}) == 1
    with org_scope(alice.org):
        assert Run.objects.filter(idempotency_key=key).count() == 1


def test_a_finished_run_can_be_deleted_with_its_log(alice: Person, bob: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice)
    early = alice.with_key().delete(f"/api/runs/{run.pk}")
    work()

    assert early.status_code == 409
    assert bob.with_key().delete(f"/api/runs/{run.pk}").status_code == 404
    assert alice.with_key().delete(f"/api/runs/{run.pk}").status_code == 204
    assert alice.with_key().get(f"/api/runs/{run.pk}").status_code == 404
    with org_scope(alice.org):
        assert not Event.objects.filter(run_id=run.pk).exists()
    assert AuditEntry.objects.filter(action="run.delete", object_id=run.pk, actor=alice.user).exists()


def test_an_interrupted_run_leaves_its_lane(alice: Person, start_run: Start, work: Work, session_key: str) -> None:
    first = start_run(alice, session_key=session_key)
    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, first.pk, at=first.created_at)

    second = start_run(alice, session_key=session_key)
    work()

    assert ticket_of(first) is None
    assert eventually(lambda: status_of(alice, second) == "completed")


def live_text_of(person: Person, run: Run) -> str:
    with org_scope(person.org):
        return LiveText.objects.filter(run=run).values_list("text", flat=True).first() or ""


def send(person: Person, key: str, body: dict[str, Any]) -> Any:
    return person.with_key().post("/api/runs", body, content_type="application/json", headers={"Idempotency-Key": key})
