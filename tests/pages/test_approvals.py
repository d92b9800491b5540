"""The inbox, and the same question in the chat and in the trace."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Approval, Run
from runs.queue import tickets
from tests.conftest import Person, events_of, reload


@pytest.fixture
def asking(alice: Person, start_run: Callable[..., Run]) -> Run:
    """A run of Alice's that waits because its `send_mail` needs an approval."""
    run = start_run(alice, "write to <b>them</b>", session_key="s_asking")
    with org_scope(alice.org):
        said = {"text": "It is <i>harmless</i>, trust me", "stepNumber": 1}
        log.append(run, Draft(EventType.RUN_STARTED, {}), status=Run.Status.RUNNING, attempt=1, step=1)
        log.append(run, Draft(EventType.LLM_CALLED, said), Draft(EventType.RUN_WAITING, {}), status=Run.Status.WAITING)
        ask(run, "c1")
        tickets.park(run)
    return run


def ask(run: Run, call: str) -> Approval:
    return Approval.objects.create(
        run=run,
        tool_call_id=call,
        step=1,
        agent_id="main",
        tool="send_mail",
        risk="high",
        arguments={"to": "<script>alert(1)</script>"},
        rule="risk.high",
        reason="send_mail is a high-risk tool",
        expires_at=timezone.now() + timedelta(days=1),
    )


def status_of(person: Person, run: Run) -> str:
    with org_scope(person.org):
        return Approval.objects.get(run=run, tool_call_id="c1").status


@pytest.mark.parametrize("path", ["/approvals", "/chat/s_asking", "/trace/{run}"])
def test_the_question_stands_wherever_its_run_is_looked_at(alice: Person, asking: Run, path: str) -> None:
    shown = alice.signed_in().get(path.format(run=asking.pk)).content.decode()

    assert "<code>send_mail</code>" in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "It is &lt;i&gt;harmless&lt;/i&gt;, trust me" in shown
    assert "<script>alert(1)" not in shown


def test_the_navigation_says_how_many_wait(alice: Person, charlie: Person, asking: Run) -> None:
    assert ">1<" in alice.signed_in().get("/approvals/count").content.decode()
    assert charlie.signed_in().get("/approvals/count").content.strip() == b""


@pytest.mark.parametrize(
    ("verdict", "status", "covers"),
    [
        ("approve:call", "approved", "call"),
        ("approve:run", "approved", "run"),
        ("approve:agent", "approved", "agent"),
        ("reject", "rejected", "call"),
    ],
)
def test_a_button_decides_and_leads_back(alice: Person, asking: Run, verdict: str, status: str, covers: str) -> None:
    path = f"/runs/{asking.pk}/approvals/c1"

    answer = alice.signed_in().post(path, {"verdict": verdict, "note": "because", "next": "/chat/s_asking"})

    assert answer["Location"] == "/chat/s_asking"
    assert reload(alice, asking).status == "pending"
    with org_scope(alice.org):
        decided = Approval.objects.get(run=asking)
    assert (decided.status, decided.covers, decided.note) == (status, covers, "because")


@pytest.mark.parametrize("form", [{}, {"verdict": "maybe"}, {"verdict": "approve:call", "arguments": "{"}])
def test_what_is_no_answer_is_refused(alice: Person, asking: Run, form: dict[str, Any]) -> None:
    assert alice.signed_in().post(f"/runs/{asking.pk}/approvals/c1", form).status_code == 400
    assert status_of(alice, asking) == "pending"


def test_several_that_are_ticked_are_decided_alike(alice: Person, asking: Run) -> None:
    with org_scope(alice.org):
        ids = [ask(asking, "c2").pk, Approval.objects.get(tool_call_id="c1", run=asking).pk]
    client = alice.signed_in()

    shown = client.post("/approvals", {"verdict": "reject", "ids": ids}, follow=True).content.decode()

    assert "2 calls decided" in shown
    assert reload(alice, asking).status == "pending"
    assert [event.type for event in events_of(alice, asking)].count(EventType.TOOL_REJECTED) == 2


def test_a_grant_is_shown_and_can_be_revoked(alice: Person, asking: Run) -> None:
    client = alice.signed_in()
    client.post(f"/runs/{asking.pk}/approvals/c1", {"verdict": "approve:agent"})
    assert "Revoke" in client.get("/approvals").content.decode()
    with org_scope(alice.org):
        grant = Approval.objects.get(run=asking)

    client.post(f"/approvals/{grant.pk}/revoke")

    assert "Revoke" not in client.get("/approvals").content.decode()


def test_others_decide_nothing(alice: Person, bob: Person, victor: Person, charlie: Person, asking: Run) -> None:
    path, form = f"/runs/{asking.pk}/approvals/c1", {"verdict": "approve:call"}

    assert charlie.signed_in().post(path, form).status_code == 404
    assert victor.signed_in().post(path, form).status_code == 403
    assert bob.signed_in().post(path, form).status_code == 404
    assert status_of(alice, asking) == "pending"
