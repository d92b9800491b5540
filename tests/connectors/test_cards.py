"""A question of a run's is asked as a card at Feishu, and who presses decides as on the page: once, with the rights of now."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from connectors import connecting
from connectors.bot import people as people_there
from connectors.bot import talking
from connectors.bot.cards import drawing, keeping, pressing
from connectors.management.commands import connector
from connectors.models import ApprovalCard, BotMessage, Connector
from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.models import AuditEntry, Membership, Organization, Project
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope, org_scope
from runs import approvals, lifecycle
from runs.approvals import Decision, Verdict
from runs.models import Approval, Run
from runs.tools.registry import ToolContext
from tests.conftest import Cast, Person, admit, reload
from tests.live.conftest import Server, server  # noqa: F401  a fixture
from tests.peers.feishu import Feishu
from tests.peers.feishu.events import ENCRYPT_KEY, SENDER, VERIFICATION_TOKEN, event, letter, press
from tests.peers.feishu.server import APP_ID
from tests.runs.conftest import add_tool, clear_queue  # noqa: F401  a fixture

PRESSED = "card.action.trigger"
DORA = "ou_dora0123456789"
CALL = "c0_send"
Ask = Callable[..., Run]
Deliver = Callable[..., Any]


@pytest.fixture
def alice(committed: Cast) -> Person:
    return committed.alice


@pytest.fixture
def project(alice: Person) -> Project:
    return people.create_project(f"cards-{random_text(8).lower()}", org=alice.org, name="Cards", by=alice.user)


@pytest.fixture(autouse=True)
def alone(committed: Cast, talker: Connector) -> Iterator[None]:
    """No ticket of another test, and no card of this one afterwards."""
    clear_queue()
    yield
    Connector.objects.filter(pk=talker.pk).delete()
    clear_queue()


@pytest.fixture
def dora(alice: Person, talker: Connector, project: Project, scope: Scope) -> Person:
    """A member of the project who is known at Feishu."""
    dora = admit(f"cards-dora-{random_text(8).lower()}", alice.org, Role.MEMBER)
    Membership.objects.get(user=dora.user).projects.add(project)
    people_there.name(scope, talker, open_id=DORA, username=dora.user.username)
    return dora


@pytest.fixture
def sent(add_tool: Callable[..., Any]) -> list[str]:  # noqa: F811
    """What a high-risk tool has sent."""
    done: list[str] = []

    def send(context: ToolContext, text: str = "hello") -> dict[str, Any]:
        """Send a text to somebody outside."""
        done.append(text)
        return {"sent": text}

    add_tool(send, risk="high", mutating=True, recovery="unsure")
    return done


@pytest.fixture
def ask(scope: Scope, sent: list[str], work: Callable[[], int], talker: Connector) -> Ask:
    """A run of Alice's in the project that asks about one call; `thread`: it came from this message at Feishu."""

    def act(*, thread: str = "", **arguments: Any) -> Run:
        steps = [
            {"tool_calls": [{"name": "send", "arguments": arguments or {"text": "hello"}, "id": CALL}]},
            {"text": "Sent."},
        ]
        model = {"provider": "scripted", "model": json.dumps(steps)}
        run = lifecycle.create_run(
            scope, text="a task", session_key=f"s_{random_text(8)}", llm_config=model, at=timezone.now()
        )
        if thread:
            BotMessage.objects.create(
                connector=talker, message_id=thread, conversation=thread, sender=SENDER, state="running", run_id=run.pk
            )
        work()
        assert Run.objects.get(pk=run.pk).status == "waiting"
        return run

    return act


def keep(person: Person) -> int:
    """Do what the connector process does about cards, until there is nothing to do."""
    return _keep(person.org)


def _keep(org: Organization) -> int:
    done = 0
    while pieces := keeping.work_round([org], lambda: False):
        done += pieces
    return done


def cards_of(run: Run) -> list[ApprovalCard]:
    return list(ApprovalCard.objects.filter(approval__run=run).order_by("pk"))


def question_of(run: Run) -> Approval:
    return Approval.objects.get(run=run, tool_call_id=CALL)


def buttons(card: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The values of the buttons by what they say to the call."""
    actions = [each for element in card["elements"] if element["tag"] == "action" for each in element["actions"]]
    return {each["value"]["verdict"]: each["value"] for each in actions if "value" in each}


def words(card: dict[str, Any]) -> str:
    """All that a card shows."""
    return json.dumps(card, ensure_ascii=False)


def pressed(peer: Feishu, verdict: str, *, sender: str = SENDER) -> dict[str, Any]:
    """Pressing a button of the one card that was sent."""
    [card] = peer.world.said
    return press(buttons(card.content)[verdict], message=card.message_id, sender=sender)


# --- asking


def test_a_run_from_a_thread_asks_there_and_who_presses_lets_it_go_on(
    alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, work: Callable[[], int], sent: list[str]
) -> None:
    run = ask(thread="om_first", text="good day")
    keep(alice)

    [card] = peer.world.said
    assert (card.kind, card.answers, card.in_thread) == ("interactive", "om_first", True)
    assert '\\"text\\": \\"good day\\"' in words(card.content)
    assert "risk.high" in words(card.content)
    assert set(buttons(card.content)) == {"approve", "reject"}

    answer = deliver(PRESSED, pressed(peer, "approve")).json()
    work()

    assert (answer["toast"]["type"], answer["toast"]["i18n"]["zh_cn"]) == ("success", "已批准")
    assert answer["card"]["type"] == "raw"
    assert "Approved by alice" in words(answer["card"]["data"])
    assert buttons(answer["card"]["data"]) == {}
    assert (sent, reload(alice, run).output) == (["good day"], "Sent.")
    entry = AuditEntry.objects.filter(object_id=f"{run.pk}/{CALL}").get()
    assert (entry.action, entry.actor, entry.via) == ("approval.approve", alice.user, "feishu")


def test_the_connector_process_looks_after_cards(alice: Person, ask: Ask) -> None:
    ask(thread="om_first")

    assert alice.org in connector._organizations_with_work()
    assert keeping in connector._PARTS


def test_a_question_that_has_a_card_is_not_told_in_words_too(alice: Person, ask: Ask, peer: Feishu) -> None:
    run = ask(thread="om_first")
    keep(alice)

    talking.work_round([alice.org], lambda: False)
    assert [each.kind for each in peer.world.said] == ["interactive"]

    ApprovalCard.objects.filter(approval__run=run).update(state="failed", ended_at=timezone.now())
    talking.work_round([alice.org], lambda: False)
    assert [each.kind for each in peer.world.said] == ["interactive", "post"]


def test_whichever_way_it_is_decided_the_card_says_so_once(alice: Person, ask: Ask, peer: Feishu, scope: Scope) -> None:
    run = ask(thread="om_first")
    keep(alice)

    approvals.decide(alice.scope, run.pk, CALL, Decision(verdict=Verdict.REJECT, note="no"), at=timezone.now())
    keep(alice)
    keep(alice)

    [card] = peer.world.said
    assert "Rejected by alice" in words(card.content)
    assert peer.count("/im/v1/messages/om_peer") == 1
    assert [each.state for each in cards_of(run)] == ["closed"]


@pytest.mark.parametrize("end", ["expired", "withdrawn"])
def test_a_question_that_nobody_answers_ends_on_the_card(
    end: str, alice: Person, ask: Ask, peer: Feishu, scope: Scope
) -> None:
    run = ask(thread="om_first")
    keep(alice)

    if end == "expired":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE runs_approval SET expires_at = now() - interval '1 s' WHERE run_id = %s", [run.pk])
    else:
        lifecycle.cancel_run(alice.scope, run.pk, at=timezone.now())
    keep(alice)

    [card] = peer.world.said
    assert {"expired": "Nobody decided in time", "withdrawn": "The run has ended"}[end] in words(card.content)
    assert buttons(card.content) == {}


def test_without_a_thread_the_asker_is_asked_in_private(alice: Person, ask: Ask, peer: Feishu, dora: Person) -> None:
    ask()
    keep(alice)

    assert [(each.to, each.answers) for each in peer.world.said] == [(SENDER, "")]


def test_where_nobody_is_known_nobody_is_asked_and_it_is_looked_at_once(
    alice: Person, ask: Ask, peer: Feishu, scope: Scope, talker: Connector
) -> None:
    people_there.forget(scope, talker, open_id=SENDER)
    run = ask()

    assert keep(alice) >= 1
    assert keep(alice) == 0
    assert peer.world.said == []
    assert [each.state for each in cards_of(run)] == ["closed"]


def test_a_question_that_was_settled_before_is_not_sent(alice: Person, ask: Ask, peer: Feishu, scope: Scope) -> None:
    run = ask(thread="om_first")
    with org_scope(alice.org):
        keeping.finding.find(alice.org)
    approvals.decide(alice.scope, run.pk, CALL, Decision(verdict=Verdict.APPROVE), at=timezone.now())

    keep(alice)

    assert peer.world.said == []
    assert [each.state for each in cards_of(run)] == ["closed"]


def test_what_a_model_wrote_is_shown_as_plain_text(alice: Person, ask: Ask, peer: Feishu) -> None:
    ask(thread="om_first", text="<at id=all></at> **bold** [here](https://evil.example)")
    keep(alice)

    [card] = peer.world.said
    shown = [element["text"] for element in card.content["elements"] if element["tag"] == "div"]
    assert {each["tag"] for each in shown} == {"plain_text"}


@pytest.mark.parametrize("letter_", ["字", "\\", '"', "\n"])
def test_what_a_card_can_not_show_whole_is_not_approved_there(
    letter_: str, alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, sent: list[str]
) -> None:
    run = ask(thread="om_first", text=letter_ * 4_000)
    keep(alice)

    [card] = peer.world.said  # the peer refuses what is larger than Feishu takes
    assert set(buttons(card.content)) == {"reject"}
    assert "on the page only" in words(card.content)
    assert deliver(PRESSED, pressed(peer, "reject")).json()["toast"]["type"] == "success"
    assert question_of(run).status == "rejected"


# --- who may


def test_who_is_unknown_or_only_looks_decides_nothing(
    alice: Person, committed: Cast, ask: Ask, peer: Feishu, deliver: Deliver, dora: Person
) -> None:
    run = ask(thread="om_first")
    keep(alice)
    Membership.objects.filter(user=dora.user).update(role=Role.VIEWER)

    for sender in ("ou_stranger", DORA):
        answer = deliver(PRESSED, pressed(peer, "approve", sender=sender)).json()
        assert answer["toast"]["type"] == "error"
        assert "card" not in answer

    assert question_of(run).status == "pending"
    refused = AuditEntry.objects.filter(object_id=f"{run.pk}/{CALL}", outcome="refused")
    assert [entry.actor for entry in refused] == [dora.user]


def test_the_rights_are_those_of_now(
    alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, dora: Person, project: Project
) -> None:
    run = ask(thread="om_first")
    keep(alice)
    Membership.objects.get(user=dora.user).projects.remove(project)

    assert deliver(PRESSED, pressed(peer, "approve", sender=DORA)).json()["toast"]["type"] == "error"
    assert question_of(run).status == "pending"

    Membership.objects.get(user=dora.user).projects.add(project)
    assert deliver(PRESSED, pressed(peer, "approve", sender=DORA)).json()["toast"]["type"] == "success"
    assert question_of(run).decided_by == dora.user


def test_under_four_eyes_a_card_approves_nothing(
    alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, dora: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Admins say who somebody of Feishu is: one could name a second account of one's own as another admin."""
    Membership.objects.filter(user=dora.user).update(role=Role.ADMIN)
    run = ask()
    org = type(alice.org).objects.filter(pk=alice.org.pk)
    org.update(four_eyes=True)
    try:
        _keep(org.get())
        [card] = peer.world.said
        assert (card.to, set(buttons(card.content))) == (DORA, {"reject"})  # the asker isn't asked
        value = buttons(card.content)["reject"] | {"verdict": "approve"}
        answer = deliver(PRESSED, press(value, message=card.message_id, sender=DORA)).json()
    finally:
        org.update(four_eyes=False)

    assert answer["toast"] | {"i18n": {}} == {
        "type": "error", "content": "A person has to approve this, not a program", "i18n": {}
    }  # fmt: skip
    assert question_of(run).status == "pending"


# --- what is forged, stale, or comes twice


def test_the_same_press_again_changes_nothing(
    alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, scope: Scope
) -> None:
    run = ask(thread="om_first")
    keep(alice)
    told = event(PRESSED, pressed(peer, "approve"), app_id=APP_ID, event_id=f"ev{random_text(8)}")

    first, again = deliver(letter(told)), deliver(letter(told))

    assert first.json()["toast"]["type"] == "success"
    assert (again.status_code, again.json()) == (200, {})
    assert AuditEntry.objects.filter(object_id=f"{run.pk}/{CALL}").count() == 1


def test_a_press_after_the_decision_shows_it(alice: Person, ask: Ask, peer: Feishu, deliver: Deliver) -> None:
    run = ask(thread="om_first")
    keep(alice)
    late = pressed(peer, "reject")
    deliver(PRESSED, pressed(peer, "approve"))

    answer = deliver(PRESSED, late).json()

    assert answer["toast"]["type"] == "info"
    assert "Approved by alice" in words(answer["card"]["data"])
    assert question_of(run).status == "approved"


@pytest.mark.parametrize("forgery", ["digest", "card", "message", "another connector"])
def test_what_is_forged_decides_nothing(
    forgery: str, alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, scope: Scope, project: Project
) -> None:
    run = ask(thread="om_first")
    keep(alice)
    told = pressed(peer, "approve")
    to = ""
    match forgery:
        case "digest":
            told["action"]["value"]["digest"] = "0" * 64
        case "card":
            told["action"]["value"]["card"] = question_of(run).pk
        case "message":
            told["context"]["open_message_id"] = "om_forwarded"
        case _:
            secrets = {"app_secret": "x", "encrypt_key": ENCRYPT_KEY, "verification_token": VERIFICATION_TOKEN}
            about = {"name": "Other", "base_url": peer.url, "app_id": APP_ID, "config": {}, **secrets}
            other = connecting.add(scope, about)
            people_there.name(scope, other, open_id=SENDER, username="alice")
            to = f"/connectors/feishu/acme/{other.pk}/events"

    answer = deliver(PRESSED, told, to=to).json()

    assert answer["toast"]["type"] in {"error", "warning"}
    assert question_of(run).status == "pending"
    Connector.objects.filter(name="Other", project=project).delete()


def test_another_organisations_question_is_out_of_reach(
    alice: Person, committed: Cast, ask: Ask, peer: Feishu, deliver: Deliver
) -> None:
    run = ask(thread="om_first")
    keep(alice)
    told = pressed(peer, "approve")
    charlie = committed.charlie
    there = people.create_project(f"cards-{random_text(8).lower()}", org=charlie.org, name="There", by=charlie.user)

    with org_scope(charlie.org):
        theirs = replace(charlie.scope, project=there)
        secrets = {"app_secret": "x", "encrypt_key": ENCRYPT_KEY, "verification_token": VERIFICATION_TOKEN}
        about = {"name": "T", "base_url": peer.url, "app_id": APP_ID, "config": {}, **secrets}
        connector = connecting.add(theirs, about)
        people_there.name(theirs, connector, open_id=SENDER, username="charlie")

    answer = deliver(PRESSED, told, to=f"/connectors/feishu/rival/{connector.pk}/events").json()

    assert answer["toast"]["content"] == pressing._GONE
    assert question_of(run).status == "pending"
    with org_scope(charlie.org):
        connector.delete()


@pytest.mark.parametrize("told", [{}, {"action": {"value": "approve"}}, {"operator": {"open_id": 7}}, {"context": []}])
def test_a_press_without_sense_is_let_pass(told: dict[str, Any], deliver: Deliver) -> None:
    answer = deliver(PRESSED, told)

    assert (answer.status_code, answer.json()) == (200, {})


def test_two_at_once_make_one_decision(alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, dora: Person) -> None:
    run = ask(thread="om_first")
    keep(alice)
    presses = [pressed(peer, "approve"), pressed(peer, "reject", sender=DORA)]
    answers: list[dict[str, Any]] = []
    start = threading.Barrier(2)

    def act(told: dict[str, Any]) -> None:
        try:
            start.wait(10)
            answers.append(deliver(PRESSED, told).json())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=act, args=[told]) for told in presses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(answer["toast"]["type"] for answer in answers) == ["info", "success"]
    assert AuditEntry.objects.filter(object_id=f"{run.pk}/{CALL}").count() == 1
    assert len({words(answer["card"]["data"]["elements"][3]) for answer in answers}) == 1, "both see the same outcome"


def test_a_run_that_is_held_is_not_waited_for_until_feishu_gives_up(
    alice: Person, ask: Ask, peer: Feishu, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressing, "_WAIT", "50ms")
    run = ask(thread="om_first")
    keep(alice)
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with org_scope(alice.org), transaction.atomic():
                Run.objects.select_for_update().get(pk=run.pk)
                held.set()
                go.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    busy = deliver(PRESSED, pressed(peer, "approve")).json()
    go.set()
    thread.join(30)

    assert busy["toast"]["type"] == "warning"
    assert question_of(run).status == "pending"
    assert deliver(PRESSED, pressed(peer, "approve")).json()["toast"]["type"] == "success"


def test_a_press_over_the_wire_is_answered_with_what_feishu_shows(
    alice: Person,
    ask: Ask,
    peer: Feishu,
    talker: Connector,
    server: Server,  # noqa: F811
) -> None:
    run = ask(thread="om_first")
    keep(alice)
    sent = letter(event(PRESSED, pressed(peer, "approve"), app_id=APP_ID))
    url = f"{server.url}/connectors/feishu/acme/{talker.pk}/events"

    answer = httpx.post(url, content=sent.body, headers=sent.headers, timeout=20)
    unsigned = httpx.post(url, content=sent.body, headers={"Content-Type": "application/json"}, timeout=20)

    assert (answer.status_code, answer.json()["toast"]["type"]) == (200, "success")
    assert answer.headers["content-type"] == "application/json"
    assert unsigned.status_code == 404
    assert question_of(run).decided_by == alice.user


# --- faults


def again(run: Run) -> None:
    """Let the pause before the next try, or the lease of who has died, be over."""
    ApprovalCard.objects.filter(approval__run=run).update(available_at=timezone.now())


def test_a_feishu_that_is_away_gets_the_card_later(alice: Person, ask: Ask, peer: Feishu) -> None:
    run = ask(thread="om_first")
    peer.fail("/im/v1/messages", times=4, status=503)
    keep(alice)
    assert (peer.world.said, [each.state for each in cards_of(run)]) == ([], ["due"])

    again(run)
    keep(alice)

    assert [each.state for each in cards_of(run)] == ["open"]
    assert len(peer.world.said) == 1


def test_who_dies_between_sending_and_noting_sends_no_second_card(
    alice: Person, ask: Ask, peer: Feishu, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ask(thread="om_first")

    class Killed(BaseException):
        pass

    def die(value: Any) -> bool:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "is_token", die)
        with pytest.raises(Killed):
            keep(alice)
    assert len(peer.world.said) == 1
    again(run)
    keep(alice)

    assert len(peer.world.said) == 1
    assert [each.message_id for each in cards_of(run)] == [peer.world.said[0].message_id]


def test_a_card_that_can_not_be_had_any_more_is_given_up(alice: Person, ask: Ask, peer: Feishu, scope: Scope) -> None:
    run = ask(thread="om_first")
    keep(alice)
    peer.world.said.clear()
    approvals.decide(alice.scope, run.pk, CALL, Decision(verdict=Verdict.REJECT), at=timezone.now())

    keep(alice)

    [card] = cards_of(run)
    assert (card.state, "230001" in card.problem) == ("failed", True)


# --- the form of it, against the official SDK


def test_the_official_sdk_reads_the_press_and_says_what_we_say() -> None:
    import lark_oapi
    from lark_oapi.core.json import JSON
    from lark_oapi.core.model import RawRequest
    from lark_oapi.event.callback.model.p2_card_action_trigger import P2CardActionTriggerResponse

    ours = {"toast": drawing.toast("success", "Approved"), "card": {"type": "raw", "data": {"elements": []}}}
    received: list[Any] = []

    def answer(told: Any) -> P2CardActionTriggerResponse:
        received.append(told)
        return P2CardActionTriggerResponse(ours)

    sent = letter(event(PRESSED, press({"verdict": "approve"}, message="om_1"), app_id=APP_ID))
    raw = RawRequest()
    raw.uri, raw.body, raw.headers = "/events", sent.body, sent.headers
    handler = lark_oapi.EventDispatcherHandler.builder(ENCRYPT_KEY, VERIFICATION_TOKEN)
    theirs = handler.register_p2_card_action_trigger(answer).build().do(raw)

    assert theirs.status_code == 200, theirs.content
    assert json.loads(theirs.content) == json.loads(JSON.marshal(P2CardActionTriggerResponse(ours))) == ours
    [read] = received
    assert (read.event.operator.open_id, read.event.context.open_message_id) == (SENDER, "om_1")
    assert read.event.action.value == {"verdict": "approve"}
