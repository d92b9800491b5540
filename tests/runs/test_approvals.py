"""A call that the policy asks about waits for a person, holds no worker, and runs at most once as it was approved."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from openintern.errors import OpenInternError
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs import approvals, lifecycle
from runs.approvals import Decision, Verdict
from runs.engine import loop as engine
from runs.engine import transactions
from runs.models import Approval, Run
from runs.tools import policy
from runs.tools.registry import ToolContext
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of, ticket_of
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls, effects_of, listen, of_type, types

Work = Callable[[], int]
Start = Callable[..., Run]
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CALL = "c0_send"
APPROVE, REJECT = Decision(verdict=Verdict.APPROVE), Decision(verdict=Verdict.REJECT, note="not now")


@pytest.fixture
def sent(add_tool: Callable[..., Any]) -> list[dict[str, Any]]:
    """What a high-risk tool has done: the texts it sent, in order."""
    done: list[dict[str, Any]] = []

    def send(context: ToolContext, text: str = "hello") -> dict[str, Any]:
        """Send a text to somebody outside."""
        done.append({"text": text, "key": context.idempotency_key})
        return {"sent": text}

    def look(context: ToolContext) -> dict[str, Any]:
        """Look at something."""
        done.append({"looked": True})
        return {"seen": True}

    add_tool(send, risk="high", mutating=True, recovery="unsure")
    add_tool(look, recovery="pure")
    return done


@pytest.fixture
def asking(alice: Person, start_run: Start, sent: list[dict[str, Any]], work: Work) -> Run:
    """A run of Alice's that waits for an approval of its one call."""
    run = start_run(alice, steps=[calls("send"), {"text": "Sent."}])
    work()
    assert status_of(alice, run) == "waiting"
    return run


def decide(person: Person, run: Run, decision: Decision, call: str = CALL) -> Approval:
    with org_scope(person.org):
        return approvals.decide(person.scope, run.pk, call, decision, at=NOW)


def approval_of(person: Person, run: Run, call: str = CALL) -> Approval:
    with org_scope(person.org):
        return Approval.objects.get(run=run, tool_call_id=call)


def age(person: Person, run: Run) -> None:
    """Let the time for an answer run out, and with it the ticket's rest."""
    with org_scope(person.org), connection.cursor() as cursor:
        cursor.execute("UPDATE runs_approval SET expires_at = now() - interval '1 s' WHERE run_id = %s", [run.pk])
        cursor.execute(
            "UPDATE public.queue_ticket SET available_at = now() - interval '1 s' WHERE run_id = %s", [run.pk]
        )


def test_nothing_happens_before_a_person_has_said_so(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    asked = of_type(events_of(alice, asking), "tool.requires_approval")

    assert work() == 0
    assert sent == []
    assert effects_of(alice, asking) == {CALL: "planned"}
    assert (asked[0]["toolName"], asked[0]["rule"], asked[0]["risk_level"]) == ("send", "risk.high", "high")
    ticket = ticket_of(asking)
    assert ticket is not None
    assert (ticket.leased_by, ticket.available_at) == ("", approval_of(alice, asking).expires_at)


def test_an_approved_call_runs_once_and_the_run_goes_on(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    decide(alice, asking, APPROVE)

    work()

    assert [one["text"] for one in sent] == ["hello"]
    assert reload(alice, asking).output == "Sent."
    assert of_type(events_of(alice, asking), "tool.approved")[0]["decided_by"] == alice.user.username
    assert_whole(alice, asking)


def test_a_rejected_call_never_runs_and_the_model_hears_why(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    decide(alice, asking, REJECT)

    work()

    error = of_type(events_of(alice, asking), "tool.result")[0]["error"]
    assert sent == []
    assert (error["code"], "not now" in error["message"]) == ("REJECTED", True)
    assert status_of(alice, asking) == "completed"
    assert_whole(alice, asking)


def test_changed_arguments_are_what_runs_and_the_model_hears_of_it(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listen(monkeypatch)
    decide(alice, asking, Decision(verdict=Verdict.APPROVE, arguments={"text": "good day"}))

    work()

    assert [one["text"] for one in sent] == ["good day"]
    reply = next(message for message in heard[-1].messages if message["role"] == "tool")
    assert reply["content"].startswith('[A person changed the arguments of this call to {"text": "good day"}]')


def test_arguments_that_the_tool_refuses_are_no_approval(alice: Person, asking: Run) -> None:
    with pytest.raises(OpenInternError) as refused:
        decide(alice, asking, Decision(verdict=Verdict.APPROVE, arguments={"to": "everybody"}))

    assert (refused.value.code, refused.value.details) == ("VALIDATION_ERROR", {"field": "arguments"})
    assert approval_of(alice, asking).status == "pending"


def test_all_questions_of_a_step_are_answered_before_any_of_its_calls_begins(
    alice: Person, start_run: Start, work: Work, sent: list[dict[str, Any]]
) -> None:
    run = start_run(alice, steps=[calls("look", "send", "send"), {"text": "Done."}])
    work()
    decide(alice, run, APPROVE, "c1_send")
    assert (work(), sent, status_of(alice, run)) == (0, [], "waiting")

    decide(alice, run, REJECT, "c2_send")
    work()

    assert [*map(sorted, sent)] == [["looked"], ["key", "text"]]
    failed = {one["tool_call_id"]: one["isError"] for one in of_type(events_of(alice, run), "tool.result")}
    assert failed == {"c0_look": False, "c1_send": False, "c2_send": True}
    assert_whole(alice, run)


@pytest.mark.parametrize("covers", ["run", "agent"])
def test_a_grant_covers_later_calls_until_it_is_revoked(
    alice: Person, start_run: Start, work: Work, sent: list[dict[str, Any]], covers: str
) -> None:
    run = start_run(alice, steps=[calls("send"), calls("send"), {"text": "Twice."}])
    work()
    grant = decide(alice, run, Decision(verdict=Verdict.APPROVE, covers=covers))
    work()
    assert (status_of(alice, run), len(sent)) == ("completed", 2)
    assert [payload["rule"] for payload in of_type(events_of(alice, run), "tool.called")] == [
        "risk.high",
        f"approval.{covers}",
    ]

    with org_scope(alice.org):
        approvals.revoke(alice.scope, grant.pk, at=NOW)
    later = start_run(alice, steps=[calls("send"), {"text": "Again."}])
    work()

    assert status_of(alice, later) == "waiting"


def test_a_grant_for_the_agent_covers_its_other_runs_and_no_other_agent(
    alice: Person, start_run: Start, work: Work, sent: list[dict[str, Any]]
) -> None:
    first = start_run(alice, steps=[calls("send"), {"text": "1"}], agent_id="writer")
    work()
    decide(alice, first, Decision(verdict=Verdict.APPROVE, covers="agent"))
    same = start_run(alice, steps=[calls("send"), {"text": "2"}], agent_id="writer")
    other = start_run(alice, steps=[calls("send"), {"text": "3"}], agent_id="reader")

    work()

    assert (status_of(alice, same), status_of(alice, other)) == ("completed", "waiting")


def test_a_question_that_nobody_answers_expires_and_the_run_goes_on(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    age(alice, asking)
    with pytest.raises(OpenInternError) as late:
        decide(alice, asking, APPROVE)
    assert late.value.code == "APPROVAL_NOT_FOUND"

    work()

    assert sent == []
    assert of_type(events_of(alice, asking), "tool.result")[0]["error"]["code"] == "APPROVAL_EXPIRED"
    assert approval_of(alice, asking).status == "expired"
    assert_whole(alice, asking)


def test_what_was_approved_under_another_policy_is_asked_again(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(alice, asking, APPROVE)
    monkeypatch.setattr(policy, "VERSION", "another")

    work()

    assert sent == []
    assert "policy has changed" in of_type(events_of(alice, asking), "tool.result")[0]["error"]["message"]


def test_the_first_decision_stands(alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]) -> None:
    decide(alice, asking, REJECT)

    with pytest.raises(OpenInternError) as refused:
        decide(alice, asking, APPROVE)

    assert refused.value.code == "RUN_NOT_WAITING"
    work()
    assert sent == []


def test_of_two_decisions_at_once_one_wins(
    alice: Person, bob: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    outcomes: list[str] = []
    begin = threading.Barrier(6)

    def try_to(decision: Decision) -> None:
        try:
            begin.wait(10)
            outcomes.append(decide(alice, asking, decision).status)
        except OpenInternError as error:
            outcomes.append(error.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=try_to, args=[decision]) for decision in (APPROVE, REJECT) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(set(outcomes) - {"approved", "rejected"}) == ["RUN_NOT_WAITING"]
    winner = next(outcome for outcome in outcomes if outcome in {"approved", "rejected"})
    assert sum(outcome in {"approved", "rejected"} for outcome in outcomes) == 1
    work()
    assert len(sent) == (1 if winner == "approved" else 0)


def test_a_cancelled_run_takes_its_questions_back(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, asking.pk, at=NOW)

    with pytest.raises(OpenInternError) as refused:
        decide(alice, asking, APPROVE)

    assert refused.value.code == "RUN_NOT_WAITING"
    assert (approval_of(alice, asking).status, work(), sent) == ("withdrawn", 0, [])


@pytest.mark.parametrize(
    ("where", "place", "after"),
    [
        (transactions, "record_answer", False),
        (transactions, "record_answer", True),
        (transactions, "wait_for_approval", True),
    ],
)
def test_a_crash_around_the_question_loses_nothing(
    alice: Person,
    start_run: Start,
    work: Work,
    sent: list[dict[str, Any]],
    crash_in: Callable[..., None],
    where: Any,
    place: str,
    after: bool,
) -> None:
    run = start_run(alice, steps=[calls("send"), {"text": "Sent."}])
    crash_in(where, place, after=after)
    work()
    assert status_of(alice, run) == "waiting"

    decide(alice, run, APPROVE)
    work()

    assert len(sent) == 1
    assert types(events_of(alice, run)).count("tool.requires_approval") == 1
    assert_whole(alice, run)


def test_a_crash_in_an_approved_call_is_in_doubt_like_any_other(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]], crash_in: Callable[..., None]
) -> None:
    decide(alice, asking, APPROVE)

    crash_in(transactions, "finish_step")
    work()

    assert len(sent) == 1
    assert (status_of(alice, asking), effects_of(alice, asking)) == ("waiting", {CALL: "in_doubt"})


def test_a_crash_right_after_waking_runs_the_call_once(
    alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]], crash_in: Callable[..., None]
) -> None:
    decide(alice, asking, APPROVE)

    crash_in(engine, "_carry_out")
    work()

    assert len(sent) == 1
    assert_whole(alice, asking)


def test_with_four_eyes_an_admin_who_did_not_start_the_run_decides_in_person(
    alice: Person,
    bob: Person,
    start_run: Start,
    work: Work,
    sent: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alice.org, "four_eyes", True)
    run = start_run(bob, steps=[calls("send"), {"text": "Sent."}])
    work()
    with_a_key = replace(alice.scope, org=alice.org, via="oi_key")

    for scope in (replace(bob.scope, org=alice.org), with_a_key):
        with org_scope(alice.org), pytest.raises(OpenInternError) as refused:
            approvals.decide(scope, run.pk, CALL, APPROVE, at=NOW)
        assert refused.value.code == "FORBIDDEN"
    with org_scope(alice.org):
        approvals.decide(replace(with_a_key, via="session"), run.pk, CALL, APPROVE, at=NOW)
    work()

    assert len(sent) == 1


def test_every_decision_is_audited(alice: Person, asking: Run) -> None:
    decide(alice, asking, APPROVE)

    entry = AuditEntry.objects.get(action="approval.approve", object_id=f"{asking.pk}/{CALL}")
    assert (entry.actor, entry.details["tool"], entry.details["covers"]) == (alice.user, "send", "call")


def test_only_an_admin_grants_for_an_agent(bob: Person, start_run: Start, work: Work, sent: list[Any]) -> None:
    run = start_run(bob, steps=[calls("send"), {"text": "Sent."}])
    work()

    with pytest.raises(OpenInternError) as refused:
        decide(bob, run, Decision(verdict=Verdict.APPROVE, covers="agent"))

    assert refused.value.code == "FORBIDDEN"
    assert approval_of(bob, run).status == "pending"


def test_the_api_lists_decides_and_revokes_and_charlie_sees_nothing(
    alice: Person, charlie: Person, asking: Run, work: Work, sent: list[dict[str, Any]]
) -> None:
    key, stranger = alice.with_key(), charlie.with_key()
    listed = key.get("/api/approvals?status=pending").json()["approvals"]
    asked = next(one for one in listed if one["run_id"] == asking.pk)
    path, body = f"/api/runs/{asking.pk}", {"tool_call_id": CALL, "covers": "run"}

    assert asking.pk not in stranger.get("/api/approvals").content.decode()
    assert stranger.get(f"/api/approvals/{asked['approval_id']}").status_code == 404
    assert stranger.post(f"{path}/approve", body, content_type="application/json").status_code == 404
    unknown = key.post(f"{path}/reject", {"tool_call_id": "c9"}, content_type="application/json")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "APPROVAL_NOT_FOUND")
    approved = key.post(f"{path}/approve", body, content_type="application/json").json()
    assert (approved["approval"]["status"], approved["approval"]["decided_by"]) == ("approved", alice.user.username)
    again = key.post(f"{path}/approve", body, content_type="application/json")
    assert (again.status_code, again.json()["error"]["code"]) == (400, "RUN_NOT_WAITING")
    grant = f"/api/approvals/{asked['approval_id']}/grant"
    assert stranger.delete(grant).status_code == 404
    assert key.delete(grant).json()["revoked_at"]
    assert key.delete(grant).status_code == 404
    work()
    assert len(sent) == 1


def test_several_questions_are_answered_at_once(
    alice: Person, start_run: Start, work: Work, sent: list[dict[str, Any]]
) -> None:
    run = start_run(alice, steps=[calls("send", "send"), {"text": "Both."}])
    work()
    ids = [approval_of(alice, run, f"c{place}_send").pk for place in (0, 1)]

    answer = alice.with_key().post(
        "/api/approvals/decide", {"ids": [*ids, "apr_unknown"], "verdict": "approve"}, content_type="application/json"
    )

    assert answer.json()["outcomes"] == {ids[0]: "approved", ids[1]: "approved", "apr_unknown": "NOT_FOUND"}
    work()
    assert len(sent) == 2


def test_a_terminal_lists_and_decides(alice: Person, asking: Run, work: Work, sent: list[dict[str, Any]]) -> None:
    person = {"org": alice.org.slug, "user": alice.user.username}

    listed = in_terminal("approvals", **person)
    number = approval_of(alice, asking).pk
    assert f"{number}  send" in listed
    assert "approved" in in_terminal("approvals", "approve", number, arguments='{"text": "hi"}', **person)
    with pytest.raises(CommandError, match="Run is pending"):
        in_terminal("approvals", "reject", number, **person)
    work()

    assert [one["text"] for one in sent] == ["hi"]
    assert number not in in_terminal("approvals", **person)


def in_terminal(*words: str, **options: Any) -> str:
    out = StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()
