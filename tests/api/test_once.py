"""Every POST that starts work takes an `Idempotency-Key`: sent twice it does it once, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs import idempotency, log
from runs.events import Draft, EventType
from runs.models import Approval, Effect, Event, KeptAnswer, Run
from runs.queue import tickets
from teams import members
from teams.models import Group, Role
from tests.conftest import Person, events_of
from tests.resolver import endpoints

#: What starts work, or sets it going again, as the policy table names it.
STARTS_WORK = {("run", "create"), ("run", "inject"), ("run", "cancel"), ("effect", "settle"), ("approval", "decide")}
STARTERS = [
    each
    for each in endpoints()
    if each.pattern.startswith("api/")
    and each.declared
    and (each.declared.resource, (each.declared.actions or {}).get("POST")) in STARTS_WORK
]
BODIES: dict[str, dict[str, Any]] = {
    "create_run": {"input": "once", "llm_config": {"provider": "mock"}},
    "create_group_run": {"input": "once", "llm_config": {"provider": "mock"}},
    "inject_message": {"message": "once"},
    "cancel_run": {},
    "settle_effect": {"outcome": "happened", "result": {"sent": 1}},
    "approve_call": {"tool_call_id": "call_asked"},
    "reject_call": {"tool_call_id": "call_asked"},
    "decide_approvals": {"ids": ["apr_asked"], "verdict": "approve"},
}


@pytest.fixture
def waiting(alice: Person, start_run: Callable[..., Run]) -> Run:
    """A run of Alice's with a call in doubt and one that waits for an approval."""
    run = start_run(alice, session_key="s_once")
    with org_scope(alice.org):
        log.append(run, Draft(EventType.RUN_STARTED, {}), status=Run.Status.RUNNING, attempt=1, step=1)
        log.append(run, Draft(EventType.RUN_WAITING, {}), status=Run.Status.WAITING)
        call = {"run": run, "step": 1, "tool": "send_mail"}
        Effect.objects.create(
            tool_call_id="call_doubt", ordinal=0, args_hash="", recovery="unsure", status="in_doubt", attempt=1,
            rule="default", **call,
        )  # fmt: skip
        Approval.objects.create(
            id="apr_asked", tool_call_id="call_asked", agent_id="main", risk="high", arguments={}, rule="risk.high",
            reason="", expires_at=timezone.now() + timedelta(days=1), **call,
        )  # fmt: skip
        tickets.park(run)
    return run


@pytest.fixture
def team(alice: Person) -> Group:
    with org_scope(alice.org):
        role = Role.objects.create(name=f"clerk {random_text(6)}", system_prompt="You file.")
        group = Group.objects.create(name=f"office {random_text(6)}")
        members.add(alice.scope, group.pk, role_id=role.pk)
    return group


def send(person: Person, path: str, body: dict[str, Any], key: str) -> Any:
    return person.with_key().post(path, body, content_type="application/json", headers={"Idempotency-Key": key})


def operation(path: str, document: dict[str, Any]) -> str:
    return str(document["paths"][path]["post"]["operationId"])


@pytest.fixture
def document(alice: Person) -> dict[str, Any]:
    return dict(
        json.loads(alice.with_key().get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).content)
    )


def test_what_starts_work_says_that_it_takes_a_key(alice: Person, document: dict[str, Any]) -> None:
    paths = {each.path({name: f"{{{name}}}" for name in each.parameters}): each for each in STARTERS}

    assert {operation(path, document) for path in paths} == set(BODIES), "say in BODIES how the new one is called"
    for path in paths:
        parameters = document["paths"][path]["post"]["parameters"]
        assert "Idempotency-Key" in {each["name"] for each in parameters}, path


@pytest.mark.parametrize("endpoint", STARTERS, ids=str)
def test_sent_twice_it_is_done_once_and_answered_alike(
    endpoint: Any, alice: Person, waiting: Run, team: Group, document: dict[str, Any]
) -> None:
    ids = {"run_id": waiting.pk, "tool_call_id": "call_doubt", "group_id": team.pk}
    path = endpoint.path({name: ids[name] for name in endpoint.parameters})
    template = endpoint.path({name: f"{{{name}}}" for name in endpoint.parameters})
    body, key = BODIES[operation(template, document)], random_text(12)

    first = send(alice, path, body, key)
    after = _everything(alice)
    second = send(alice, path, body, key)
    other = send(alice, path, {**body, "note": "another", "input": "another"}, key)

    assert first.status_code in {200, 201}, first.content
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.get("Location") == first.get("Location")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    assert _everything(alice) == after


def _everything(person: Person) -> tuple[int, int, list[str]]:
    with org_scope(person.org):
        return Run.objects.count(), Event.objects.count(), list(Approval.objects.values_list("status", flat=True))


def test_a_refused_request_may_try_again_with_its_key(alice: Person, start_run: Callable[..., Run]) -> None:
    run, key = start_run(alice), random_text(12)
    path = f"/api/runs/{run.pk}/inject"

    early = send(alice, path, {"message": "hello"}, key)
    with org_scope(alice.org):
        log.append(run, Draft(EventType.RUN_STARTED, {}), status=Run.Status.RUNNING, attempt=1)
    later = send(alice, path, {"message": "hello"}, key)

    assert (early.status_code, later.status_code) == (400, 200)
    assert events_of(alice, run)[-1].type == "user.injected"


def test_one_key_is_for_one_address(alice: Person, waiting: Run) -> None:
    key = random_text(12)
    send(alice, f"/api/runs/{waiting.pk}/cancel", {}, key)

    assert send(alice, f"/api/runs/{waiting.pk}/inject", {}, key).status_code == 422


@pytest.mark.parametrize("key", ["x" * 256, "schlüssel"])
def test_a_key_that_cannot_be_kept_is_refused(alice: Person, key: str) -> None:
    answer = send(alice, "/api/runs", BODIES["create_run"], key)

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, "Idempotency-Key")


def test_the_same_key_of_charlies_is_another(alice: Person, charlie: Person) -> None:
    key = random_text(12)

    mine, theirs = (send(person, "/api/runs", BODIES["create_run"], key) for person in (alice, charlie))

    assert mine.json()["run_id"] != theirs.json()["run_id"]


def test_what_nobody_asks_for_again_goes(alice: Person, waiting: Run) -> None:
    send(alice, f"/api/runs/{waiting.pk}/cancel", {}, random_text(12))

    idempotency.forget_answers(at=timezone.now() + idempotency.KEPT_FOR - timedelta(hours=1))
    with org_scope(alice.org):
        kept = KeptAnswer.objects.count()
    idempotency.forget_answers(at=timezone.now() + idempotency.KEPT_FOR + timedelta(hours=1))

    with org_scope(alice.org):
        assert (kept, KeptAnswer.objects.count()) == (1, 0)
    assert connection.schema_name == "public"
