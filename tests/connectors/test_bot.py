"""A message becomes a run in its sender's name, and the run's end a reply: each once, whatever is cut in between."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from connectors import connecting
from connectors.bot import people, saying, talking, tidying
from connectors.feishu import requests
from connectors.feishu.asking import Asker
from connectors.models import BotEvent, BotMessage, Connector
from openintern.errors import OpenInternError
from openintern.ids import random_text
from openintern.tenancy import people as projects
from openintern.tenancy.models import AuditEntry, Membership, Project
from openintern.tenancy.scope import Scope, org_scope
from runs import lifecycle
from runs.models import Approval, Effect, Event, Run
from tests.conftest import Cast, Person
from tests.peers.feishu import Feishu
from tests.peers.feishu.events import BOT, ENCRYPT_KEY, SENDER, VERIFICATION_TOKEN, event, letter, message
from tests.peers.feishu.server import APP_ID, APP_SECRET
from tests.peers.feishu.world import Said

MESSAGE = "im.message.receive_v1"
Deliver = Callable[..., Any]
Talk = Callable[[], list[BotMessage]]


@pytest.fixture
def talk(alice: Person, talker: Connector) -> Talk:
    """Work off what can be worked off, and return the messages of the bot, the oldest first."""

    def act() -> list[BotMessage]:
        for _ in range(20):
            if talking.work_next(alice.org) is None:
                return list(BotMessage.objects.filter(connector=talker).order_by("created_at", "pk"))
        raise AssertionError("there is always something to do")

    return act


@pytest.fixture
def asked(deliver: Deliver, talk: Talk, talker: Connector) -> Run:
    """The run that came of a mention."""
    deliver(MESSAGE, message("@_user_1 What sleeps?", message_id="om_asked"))
    [row] = talk()
    assert row.state == "running", row.problem
    return Run.objects.get(pk=row.run_id)


@pytest.fixture
def in_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site is to be had at an address that the operator has told."""
    server = replace(settings.CONFIG.server, public_url="https://agents.example.org")
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))


def end(run: Run, status: str = "completed", **changes: Any) -> None:
    Run.objects.filter(pk=run.pk).update(status=status, ended_at=timezone.now(), **changes)


def text_of(said: Said) -> str:
    """What a rich text says; it holds texts and links, and nothing that calls somebody."""
    pieces = [piece for line in said.content["zh_cn"]["content"] for piece in line]
    assert said.kind == "post"
    assert {piece["tag"] for piece in pieces} <= {"text", "a"}
    return "\n".join(piece["text"] for piece in pieces)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds messages are left alone, as it is decided."""
    decided: list[float] = []
    original = talking.pause_after

    def pause_after(tries: int, *, least: float) -> float:
        decided.append(original(tries, least=least))
        return decided[-1]

    monkeypatch.setattr(talking, "pause_after", pause_after)
    return decided


def due_now(row: BotMessage) -> None:
    """Let the pause, or the lease, be over."""
    BotMessage.objects.filter(pk=row.pk).update(available_at=timezone.now() - timedelta(seconds=1))


# --- from a mention to an answer


def test_a_mention_becomes_a_run_in_its_senders_name(asked: Run, alice: Person, project: Project) -> None:
    assert (asked.user, asked.project, asked.input, asked.agent_id) == (alice.user, project, "What sleeps?", "main")
    entry = AuditEntry.objects.get(action="run.create", object_id=asked.pk)
    assert (entry.actor, entry.via) == (alice.user, "feishu")


def test_the_answer_is_said_in_the_thread_once(asked: Run, talk: Talk, peer: Feishu) -> None:
    end(asked, output="The pangolin sleeps.")

    [row] = talk()
    talk()

    [said] = peer.world.said
    assert (said.answers, said.in_thread, text_of(said)) == ("om_asked", True, "The pangolin sleeps.")
    assert (row.state, row.problem, row.run_id) == ("answered", "", asked.pk)
    assert row.ended_at


def test_while_the_run_works_nothing_is_asked(asked: Run, talk: Talk, peer: Feishu) -> None:
    before = len(peer.asked)

    [row] = talk()

    assert (row.state, row.tries) == ("running", 0)
    assert len(peer.asked) == before


def test_a_thread_is_a_conversation_and_another_thread_another(
    asked: Run, deliver: Deliver, talk: Talk, talker: Connector
) -> None:
    deliver(MESSAGE, message("@_user_1 And then?", root_id="om_asked", parent_id="om_asked", thread_id="omt_1"))
    deliver(MESSAGE, message("@_user_1 Something else"))
    runs = [Run.objects.select_related("session").get(pk=row.run_id) for row in talk()]

    assert [run.session_id == asked.session_id for run in runs] == [True, True, False]
    assert runs[0].session.title == "What sleeps?"


def test_a_private_chat_is_a_conversation_and_needs_no_mention(deliver: Deliver, talk: Talk, peer: Feishu) -> None:
    for text in ("One", "Two"):
        deliver(MESSAGE, message(text, mentions=(), private=True))
    first, second = (Run.objects.get(pk=row.run_id) for row in talk())
    end(first, output="1")
    talk()

    assert first.session_id == second.session_id
    assert peer.world.said[0].in_thread is False


@pytest.mark.parametrize(
    "said",
    [{"mentions": ()}, {"mentions": ("ou_other",)}, {"text": "@_all hello", "mentions": ()}, {"mentions": ("all",)}],
    ids=["nobody", "somebody else", "everybody", "everybody by name"],
)
def test_what_isnt_for_the_bot_is_let_be(said: dict[str, Any], deliver: Deliver, talk: Talk, peer: Feishu) -> None:
    deliver(MESSAGE, message(**said))

    [row] = talk()
    assert (row.state, row.run_id, peer.world.said) == ("ignored", "", [])


def test_who_the_bot_is_is_asked_once_and_anew_for_another_app(
    deliver: Deliver, talk: Talk, peer: Feishu, talker: Connector, scope: Scope
) -> None:
    for _ in range(3):
        deliver(MESSAGE, message())
    talk()
    known = Connector.objects.get(pk=talker.pk).bot_open_id
    connecting.change(scope, talker.pk, {"app_id": "cli_other"})

    assert peer.count("/bot/v3/info$") == 1
    assert known == BOT
    assert Connector.objects.get(pk=talker.pk).bot_open_id == ""


def test_from_a_mention_to_an_answer_with_a_worker_between(
    committed: Cast, peer: Feishu, work: Callable[[], int]
) -> None:
    """The whole way, with real commits: the demo model answers what was asked at Feishu."""
    alice, mark = committed.alice, random_text(8)
    project = projects.create_project(f"asked-{mark.lower()}", org=alice.org, name="Asked", by=alice.user)
    scope = replace(alice.scope, project=project)
    told = {"name": "Asked", "base_url": peer.url, "app_id": APP_ID, "app_secret": APP_SECRET}
    told |= {"encrypt_key": ENCRYPT_KEY, "verification_token": VERIFICATION_TOKEN}
    with org_scope(alice.org):
        connector = connecting.add(scope, told)
        people.name(scope, connector, open_id=SENDER, username="alice")
    sent = letter(event(MESSAGE, message(f"@_user_1 hello {mark}", message_id="om_asked"), app_id=APP_ID))
    url = f"/connectors/feishu/acme/{connector.pk}/events"

    assert Client().post(url, sent.body, content_type="application/json", headers=sent.headers).status_code == 200
    while talking.work_round([alice.org], lambda: False):
        pass
    work()
    while talking.work_round([alice.org], lambda: False):
        pass

    with org_scope(alice.org):
        row = BotMessage.objects.get(connector=connector)
        run = Run.objects.get(pk=row.run_id)
        connecting.remove(scope, connector.pk)
    assert (row.state, run.status, run.input) == ("answered", "completed", f"hello {mark}")
    assert run.output
    assert [(said.answers, text_of(said)[:40]) for said in peer.world.said] == [("om_asked", run.output[:40])]


# --- who may


def test_whom_nobody_knows_is_told_so_once_an_hour(
    deliver: Deliver, talk: Talk, peer: Feishu, talker: Connector
) -> None:
    for _ in range(3):
        deliver(MESSAGE, message("@_user_1 你是谁？", sender="ou_stranger"))
    rows = talk()

    assert [row.state for row in rows] == ["answered", "ignored", "ignored"]
    assert [row.run_id for row in rows] == [""] * 3
    [said] = peer.world.said
    assert "ou_stranger" in text_of(said)
    assert "管理员" in text_of(said)


@pytest.mark.parametrize(
    "change", ["viewer", "out of the project", "out of the organisation", "deactivated", "forgotten"]
)
def test_rights_are_those_of_now(
    change: str, bob: Person, scope: Scope, talker: Connector, deliver: Deliver, talk: Talk, project: Project
) -> None:
    people.name(scope, talker, open_id="ou_bob", username="bob")
    membership = Membership.objects.get(user=bob.user)
    membership.projects.add(project)
    deliver(MESSAGE, message(sender="ou_bob"))
    assert talk()[0].state == "running"
    match change:
        case "viewer":
            Membership.objects.filter(pk=membership.pk).update(role="viewer")
        case "out of the project":
            membership.projects.clear()
        case "out of the organisation":
            membership.delete()
        case "deactivated":
            bob.user.is_active = False
            bob.user.save(update_fields=["is_active"])
        case "forgotten":
            people.forget(scope, talker, open_id="ou_bob")

    deliver(MESSAGE, message(sender="ou_bob"))

    row = talk()[1]
    assert (row.state, row.run_id) == ("answered", "")


def test_what_a_message_says_of_itself_changes_nobodys_name(deliver: Deliver, talk: Talk, alice: Person) -> None:
    said = message("@_user_1 I am Alice. user_id: alice")
    said["sender"]["sender_id"]["open_id"] = "ou_stranger"
    said["sender"] |= {"user_id": SENDER, "open_id": SENDER}
    said["message"] |= {"sender": {"id": SENDER}, "user_id": "alice"}
    deliver(MESSAGE, said)

    assert [(row.state, row.run_id) for row in talk()] == [("answered", "")]


def test_only_people_of_the_organisation_can_be_named(scope: Scope, talker: Connector) -> None:
    for open_id, username in (("ou_x", "charlie"), ("ou_x", "nobody"), ("../x", "alice"), ("", "alice")):
        with pytest.raises(OpenInternError):
            people.name(scope, talker, open_id=open_id, username=username)
    with pytest.raises(OpenInternError):
        people.forget(scope, talker, open_id="ou_never")


def test_an_image_is_answered_in_words(deliver: Deliver, talk: Talk, peer: Feishu) -> None:
    deliver(MESSAGE, message(mentions=(), private=True, message_type="image", content='{"image_key": "img"}'))

    assert talk()[0].state == "answered"
    assert "text" in text_of(peer.world.said[0])


def test_a_storm_waits_its_turn(
    deliver: Deliver, talk: Talk, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    """How many tasks are too many is for all doors alike to say (`runs.pace`); here it is the third."""
    given = itertools.count(1)

    def require_patience(_scope: Scope) -> None:
        if next(given) > 2:
            raise OpenInternError("THROTTLED", "Too many tasks in a minute", details={"retry_after": 30})

    monkeypatch.setattr(lifecycle, "require_patience", require_patience)
    for number in range(4):
        deliver(MESSAGE, message(f"@_user_1 {number}"))

    rows = talk()

    assert [row.state for row in rows] == ["running", "running", "received", "received"]
    for row in rows[2:]:
        assert "Too many tasks" in row.problem
    assert set(pauses) == {30}


# --- what is said


@pytest.mark.parametrize(
    ("status", "changes", "told"),
    [
        ("failed", {"error": {"code": "LLM_ERROR", "message": "The model is away"}}, "The model is away (LLM_ERROR)"),
        ("cancelled", {}, "cancelled"),
        ("completed", {"output": ""}, "without an answer"),
    ],
)
def test_every_end_is_told(
    status: str, changes: dict[str, Any], told: str, asked: Run, talk: Talk, peer: Feishu, in_public: None
) -> None:
    end(asked, status, **changes)

    assert talk()[0].state == "answered"
    [said] = peer.world.said
    assert told in text_of(said)
    assert said.content["zh_cn"]["content"][1][0]["href"] == f"https://agents.example.org/trace/{asked.pk}"


@pytest.mark.parametrize("is_public", [True, False])
def test_a_long_answer_is_shortened_and_leads_to_the_whole(
    is_public: bool, asked: Run, talk: Talk, peer: Feishu, request: pytest.FixtureRequest
) -> None:
    if is_public:
        request.getfixturevalue("in_public")
    end(asked, output="长" * 100_000)

    assert talk()[0].state == "answered"
    lines = peer.world.said[0].content["zh_cn"]["content"]
    assert len(lines[0][0]["text"]) == saying.LONGEST
    if is_public:
        assert lines[1][0]["href"] == f"https://agents.example.org/trace/{asked.pk}"
    else:
        assert lines[0][0]["text"].endswith(f"…\n{asked.pk}")


@pytest.mark.parametrize("character", ["\x01", '"', "\\", "\n", "𠮷", "<at"])
def test_whatever_it_is_made_of_it_fits(character: str) -> None:
    content = json.dumps(saying.post(character * saying.LONGEST, link="https://x.example/" + "x" * 200, label="x"))
    request = requests.reply(
        "om_1", saying.post(character * saying.LONGEST), kind="post", once="x" * 50, in_thread=True
    )

    assert len(json.dumps(vars(request.body), ensure_ascii=False).encode()) < 30_000, content[:80]


def test_what_a_model_writes_calls_nobody(asked: Run, talk: Talk, peer: Feishu) -> None:
    end(asked, output='<at user_id="all">all</at> <AT id=all></AT> @_all </zh_cn> {"tag": "at", "user_id": "all"}')

    talk()

    assert "<at" not in text_of(peer.world.said[0]).lower()


def wait_for_approval(run: Run) -> Approval:
    Run.objects.filter(pk=run.pk).update(status="waiting")
    return Approval.objects.create(
        run=run, tool_call_id=f"c{Approval.objects.filter(run=run).count()}", step=1, agent_id="main", tool="send",
        risk="high", arguments={}, rule="risk.high", reason="x", expires_at=timezone.now() + timedelta(days=1),
        created_at=timezone.now(),
    )  # fmt: skip


def test_a_run_that_waits_for_a_person_says_so_once_for_each_question(
    asked: Run, talk: Talk, peer: Feishu, in_public: None
) -> None:
    first = wait_for_approval(asked)
    [row] = talk()
    talk()
    assert (row.state, len(peer.world.said)) == ("running", 1)
    assert "decision" in text_of(peer.world.said[0])

    Approval.objects.filter(pk=first.pk).update(status="expired")
    wait_for_approval(asked)
    talk()
    assert len(peer.world.said) == 2

    end(asked, output="Done.")
    assert talk()[0].state == "answered"
    assert [text_of(said) for said in peer.world.said][2] == "Done."


def test_a_question_of_a_run_below_is_told_too(asked: Run, talk: Talk, peer: Feishu) -> None:
    Run.objects.filter(pk=asked.pk).update(status="waiting")
    assert (talk()[0].tries, peer.world.said) == (0, []), "who waits for another run asks nobody"
    child = Run.objects.create(session=asked.session, user=asked.user, project=asked.project, parent=asked, input="x")

    wait_for_approval(child)
    talk()

    assert len(peer.world.said) == 1


def test_a_call_in_doubt_is_told(asked: Run, talk: Talk, peer: Feishu) -> None:
    Run.objects.filter(pk=asked.pk).update(status="waiting")
    Effect.objects.create(
        run=asked, tool_call_id="c1", step=1, ordinal=0, tool="send", args_hash="x", recovery="unsure",
        status="in_doubt", attempt=1, rule="x",
    )  # fmt: skip
    Event.objects.create(
        run=asked, seq=1000, at=timezone.now(), type="run.waiting", step=1, attempt=1, agent_id="main",
        span_id="sp", payload={"reason": "in_doubt"},
    )  # fmt: skip

    talk()
    talk()

    assert len(peer.world.said) == 1


# --- what goes wrong


def test_what_passes_is_tried_again_and_given_up_in_the_end(
    asked: Run, talk: Talk, peer: Feishu, pauses: list[float]
) -> None:
    end(asked, output="x")
    peer.fail("/reply$", times=1_000, code=99991400, status=429, x_ogw_ratelimit_reset="7")
    for _ in range(talking.MOST_TRIES + 1):
        [row] = talk()
        due_now(row)
        talk()

    row.refresh_from_db()
    assert (row.state, "429" in row.problem) == ("failed", True)
    assert pauses[0] == 7, "as long as Feishu says"
    assert max(pauses) == talking.LONGEST_PAUSE
    assert timedelta(seconds=sum(pauses)) < talking.REPEATABLE
    assert peer.world.said == []


@pytest.mark.parametrize("code", [230002, 230011, 230006, 230013])
def test_what_cant_be_answered_is_given_up_at_once(code: int, asked: Run, talk: Talk, peer: Feishu) -> None:
    end(asked, output="x")
    peer.fail("/reply$", times=1_000, code=code, status=400)

    [row] = talk()

    assert (row.state, str(code) in row.problem) == ("failed", True)
    assert peer.count("/reply$") == 1


def test_an_app_that_lacks_a_right_is_given_time_to_get_it(asked: Run, talk: Talk, peer: Feishu) -> None:
    end(asked, output="x")
    peer.fail("/reply$", times=1, code=99991672, status=400)

    [row] = talk()
    assert (row.state, "99991672" in row.problem) == ("running", True)
    due_now(row)
    assert talk()[0].state == "answered"


def test_a_run_that_is_gone_is_noted(asked: Run, talk: Talk, peer: Feishu) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE connectors_botmessage SET run_id = 'run_gone' WHERE run_id = %s", [asked.pk])

    [row] = talk()

    assert (row.state, row.problem, peer.world.said) == ("failed", "The run is gone", [])


class Killed(BaseException):
    """The end of the process."""


def test_killed_after_the_run_was_started_and_before_it_was_noted_starts_no_second(
    deliver: Deliver, talk: Talk, monkeypatch: pytest.MonkeyPatch, alice: Person, talker: Connector
) -> None:
    deliver(MESSAGE, message())
    before = set(Run.objects.values_list("pk", flat=True))
    original = talking.Talk.move

    def dies(self: talking.Talk, **changes: Any) -> None:
        original(self, **changes)
        raise Killed

    Connector.objects.filter(pk=talker.pk).update(bot_open_id=BOT)
    with monkeypatch.context() as patched:
        patched.setattr(talking.Talk, "move", dies)
        with pytest.raises(Killed):
            talking.work_next(alice.org)
    assert talk()[0].state == "received", "its lease holds"
    due_now(talk()[0])

    [row] = talk()
    assert set(Run.objects.values_list("pk", flat=True)) - before == {row.run_id}


def test_killed_after_the_reply_and_before_it_was_noted_says_nothing_twice(
    asked: Run, talk: Talk, peer: Feishu, monkeypatch: pytest.MonkeyPatch, alice: Person
) -> None:
    end(asked, output="x")
    original = Asker.ask

    def dies(self: Asker, request: Any) -> Any:
        original(self, request)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Asker, "ask", dies)
        with pytest.raises(Killed):
            talking.work_next(alice.org)
    due_now(talk()[0])

    assert talk()[0].state == "answered"
    assert (peer.count("/reply$"), len(peer.world.said)) == (2, 1)


def test_what_feishu_wouldnt_know_again_isnt_said_again(asked: Run, talk: Talk, peer: Feishu) -> None:
    end(asked, output="x")
    BotMessage.objects.filter(run_id=asked.pk).update(reply_begun_at=timezone.now() - talking.REPEATABLE * 1.1)

    [row] = talk()

    assert (row.state, peer.world.said) == ("failed", [])
    assert "known" in row.problem


def test_who_has_lost_the_message_starts_nothing_and_notes_nothing(
    deliver: Deliver, talk: Talk, monkeypatch: pytest.MonkeyPatch, alice: Person, talker: Connector
) -> None:
    Connector.objects.filter(pk=talker.pk).update(bot_open_id=BOT)
    deliver(MESSAGE, message())
    before = Run.objects.count()
    original = people.scope_of

    def slow(connector: Connector, open_id: str, **org: Any) -> Any:
        BotMessage.objects.filter(connector=talker).update(available_at=timezone.now() + timedelta(seconds=99))
        return original(connector, open_id, **org)

    monkeypatch.setattr(talking.people, "scope_of", slow)
    talking.work_next(alice.org)

    [row] = BotMessage.objects.filter(connector=talker)
    assert (row.state, row.run_id, Run.objects.count()) == ("received", "", before)


# --- what stays


def test_old_messages_go_and_what_is_under_way_stays(
    asked: Run, deliver: Deliver, talk: Talk, talker: Connector, alice: Person
) -> None:
    deliver(MESSAGE, message(mentions=()))
    deliver(MESSAGE, message(mentions=()))
    talk()
    rows = list(BotMessage.objects.filter(connector=talker).order_by("created_at", "pk"))
    long_ago = timezone.now() - timedelta(days=tidying.KEPT_DAYS + 1)
    BotMessage.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(created_at=long_ago)
    BotEvent.objects.filter(connector=talker).update(taken_at=long_ago)

    tidying.forget(alice.org, at=timezone.now())

    assert {row.pk for row in BotMessage.objects.filter(connector=talker)} == {rows[0].pk, rows[2].pk}
    assert not BotEvent.objects.filter(connector=talker).exists()


def test_an_organisation_that_keeps_runs_for_a_week_keeps_messages_no_longer(
    deliver: Deliver, talk: Talk, talker: Connector, alice: Person
) -> None:
    deliver(MESSAGE, message(mentions=()))
    talk()
    BotMessage.objects.filter(connector=talker).update(created_at=timezone.now() - timedelta(days=8))
    org = replace_days(alice, 7)

    tidying.forget(org, at=timezone.now())

    assert not BotMessage.objects.filter(connector=talker).exists()


def replace_days(person: Person, days: int) -> Any:
    from openintern.tenancy.models import Organization

    org = Organization.objects.get(pk=person.org.pk)
    org.retention_days = days
    return org


def test_a_removed_connector_takes_what_was_said_along(asked: Run, talker: Connector, scope: Scope, talk: Talk) -> None:
    connecting.remove(scope, talker.pk)

    assert not BotMessage.objects.filter(run_id=asked.pk).exists()
    assert Run.objects.filter(pk=asked.pk).exists()
    assert talk() == []


def test_another_organisation_has_nothing_to_say_to_it(deliver: Deliver, talker: Connector, charlie: Person) -> None:
    deliver(MESSAGE, message())

    with org_scope(charlie.org):
        assert talking.work_next(charlie.org) is None
