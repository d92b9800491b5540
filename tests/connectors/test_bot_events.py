"""What Feishu sends to a bot: believed for its signature, taken once, and everything else finds nothing there."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from connectors import connecting
from connectors.bot import events, messages, sealing
from connectors.feishu import asking, requests
from connectors.models import BotEvent, BotMessage, Connector
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import Scope, org_scope
from tests.conftest import Person
from tests.peers.feishu import Feishu
from tests.peers.feishu.events import (
    BOT,
    CHAT,
    ENCRYPT_KEY,
    SENDER,
    VERIFICATION_TOKEN,
    Letter,
    challenge,
    event,
    letter,
    message,
    seal,
    sign,
)
from tests.peers.feishu.server import APP_ID

MESSAGE = "im.message.receive_v1"
Deliver = Callable[..., Any]


def kept(connector: Connector) -> list[BotMessage]:
    return list(BotMessage.objects.filter(connector=connector).order_by("created_at", "pk"))


# --- the form of it, against the official SDK


def sdk(received: list[Any]) -> Any:
    import lark_oapi

    builder = lark_oapi.EventDispatcherHandler.builder(ENCRYPT_KEY, VERIFICATION_TOKEN)
    return builder.register_p2_im_message_receive_v1(received.append).build()


def as_raw(sent: Letter) -> Any:
    from lark_oapi.core.model import RawRequest

    raw = RawRequest()
    raw.uri, raw.body, raw.headers = "/events", sent.body, sent.headers
    return raw


def test_the_official_sdk_believes_what_the_peer_sends_and_reads_the_same() -> None:
    received: list[Any] = []
    sent = letter(event(MESSAGE, message("@_user_1 你好"), app_id=APP_ID, event_id="ev1"))

    answer = sdk(received).do(as_raw(sent))

    assert answer.status_code == 200, answer.content
    read = sealing.opened(sent.body, ENCRYPT_KEY)
    assert received[0].header.event_id == read["header"]["event_id"] == "ev1"
    assert received[0].event.message.content == read["event"]["message"]["content"]
    assert received[0].event.message.mentions[0].id.open_id == BOT
    assert sealing.is_signed(sent.body, sent.headers, key=ENCRYPT_KEY, now=time.time())


def test_the_official_sdk_answers_the_challenge_as_we_do(deliver: Deliver) -> None:
    asked = challenge("ajls384kdjx98XX")

    theirs, ours = sdk([]).do(as_raw(asked)), deliver(asked)

    assert json.loads(theirs.content) == ours.json() == {"challenge": "ajls384kdjx98XX"}


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 32, 1000])
def test_what_the_sdk_opens_we_open(length: int) -> None:
    from lark_oapi.core.utils import AESCipher

    body = seal(json.dumps({"x": "字" * length}).encode())
    told = AESCipher(ENCRYPT_KEY).decrypt_str(json.loads(body)["encrypt"])

    assert sealing.opened(body, ENCRYPT_KEY) == json.loads(told)


@pytest.mark.parametrize("change", ["key", "signature", "body", "nonce", "time"])
def test_what_the_sdk_refuses_we_refuse(change: str, deliver: Deliver, talker: Connector) -> None:
    told = event(MESSAGE, message(), app_id=APP_ID)
    sent = letter(told, key="another key" if change == "key" else ENCRYPT_KEY)
    match change:
        case "signature":
            sent.headers["X-Lark-Signature"] = "0" * 64
        case "body":
            sent.body = letter(told).body
        case "nonce":
            sent.headers["X-Lark-Request-Nonce"] = "1"
        case "time":
            sent.headers["X-Lark-Request-Timestamp"] = str(int(time.time()) + 1)
    received: list[Any] = []

    theirs, ours = sdk(received).do(as_raw(sent)), deliver(sent)

    assert (theirs.status_code, received) == (500, [])
    assert (ours.status_code, kept(talker)) == (404, [])


# --- who gets in


def test_a_message_is_kept_with_what_it_says_and_to_whom(deliver: Deliver, talker: Connector) -> None:
    answer = deliver(MESSAGE, message("@_user_1 What sleeps, @_user_2?", mentions=(BOT, "ou_other"), message_id="om_1"))

    assert (answer.status_code, answer.json()) == (200, {})
    [row] = kept(talker)
    assert (row.message_id, row.sender, row.state, row.run_id) == ("om_1", SENDER, "received", "")
    assert (row.text, row.mentions) == ("What sleeps,  ?", [BOT, "ou_other"])
    assert (row.conversation, row.in_thread, row.is_private) == ("om_1", True, False)


@pytest.mark.parametrize(
    ("said", "conversation", "in_thread"),
    [
        ({"private": True}, CHAT, False),
        ({"private": True, "root_id": "om_root"}, CHAT, False),
        ({"private": True, "root_id": "om_root", "thread_id": "omt_1"}, "om_root", True),
        ({"root_id": "om_root", "parent_id": "om_root"}, "om_root", True),
        ({"message_id": "om_first"}, "om_first", True),
    ],
)
def test_what_a_message_belongs_to(
    said: dict[str, Any], conversation: str, in_thread: bool, deliver: Deliver, talker: Connector
) -> None:
    deliver(MESSAGE, message(**said))

    [row] = kept(talker)
    assert (row.conversation, row.in_thread) == (conversation, in_thread)


def test_a_rich_text_is_read_line_by_line(deliver: Deliver, talker: Connector) -> None:
    lines = [
        [{"tag": "at", "user_id": "@_user_1"}, {"tag": "text", "text": "Read "}, {"tag": "a", "text": "it", "href": "https://x.example"}],
        [{"tag": "code_block", "language": "GO", "text": "func main() {}"}, {"tag": "img", "image_key": "img"}, 7],
        "nonsense",
    ]  # fmt: skip
    content = json.dumps({"title": "Please", "content": lines})

    deliver(MESSAGE, message(message_type="post", content=content))

    assert kept(talker)[0].text == "Please\nRead it (https://x.example)\nfunc main() {}"


def test_the_same_event_is_taken_once_and_so_is_the_same_message(deliver: Deliver, talker: Connector) -> None:
    said = message()

    answers = [deliver(MESSAGE, said, event_id="ev1"), deliver(MESSAGE, said, event_id="ev1"), deliver(MESSAGE, said)]
    again = deliver(MESSAGE, message("@_user_1 another text"), event_id="ev1")

    assert [each.status_code for each in (*answers, again)] == [200] * 4
    assert len(kept(talker)) == 1


@pytest.mark.parametrize(
    "what", ["unsigned", "old", "ahead", "unsealed", "another app", "another token", "old version"]
)
def test_what_isnt_feishus_finds_nothing_here(what: str, deliver: Deliver, talker: Connector) -> None:
    told = event(MESSAGE, message(), app_id=APP_ID)
    hours = sealing.FRESH_SECONDS + 60
    sent = {
        "unsigned": Letter(letter(told).body),
        "old": letter(told, at=time.time() - hours),
        "ahead": letter(told, at=time.time() + hours),
        "unsealed": sign(json.dumps(told).encode()),
        "another app": letter(event(MESSAGE, message(), app_id="cli_other")),
        "another token": letter(event(MESSAGE, message(), app_id=APP_ID, token="x")),
        "old version": letter({"uuid": "x", "token": VERIFICATION_TOKEN, "type": "event_callback", "event": {}}),
    }[what]

    answer = deliver(sent)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert kept(talker) == []


def test_who_cant_sign_learns_not_even_whether_there_is_a_connector(
    deliver: Deliver, talker: Connector, connect: Callable[..., Connector]
) -> None:
    bare, sent = connect(), letter(event(MESSAGE, message(), app_id=APP_ID), key="another key")
    places = [
        f"/connectors/feishu/acme/{talker.pk}/events", f"/connectors/feishu/acme/{bare.pk}/events",
        "/connectors/feishu/acme/fconn_never/events", "/connectors/feishu/nobody/fconn_never/events",
        f"/connectors/feishu/rival/{talker.pk}/events",
    ]  # fmt: skip

    answers = [deliver(sent, to=place) for place in places]

    assert len({(answer.status_code, answer.content) for answer in answers}) == 1
    assert answers[0].status_code == 404


def test_another_connectors_key_opens_nothing(deliver: Deliver, talker: Connector, scope: Scope) -> None:
    other = connecting.add(
        scope, {"name": "Other", "app_id": APP_ID, "encrypt_key": "itsOwnKey", "verification_token": VERIFICATION_TOKEN}
    )

    answer = deliver(letter(event(MESSAGE, message(), app_id=APP_ID)), to=f"/connectors/feishu/acme/{other.pk}/events")

    assert answer.status_code == 404
    assert kept(other) == kept(talker) == []


@pytest.mark.parametrize(
    "told",
    [
        b"[" * 100_000, b'{"header": ' * 30_000, b"\xff\xfe", b"7", b"null", b'"text"', b"", b"[]", b'{"type": []}',
        b'{"header": {}, "event": {}}', b"1" * 5_000,
    ],
    ids=lambda told: f"{told[:12]!r} of {len(told)}",
)  # fmt: skip
def test_what_has_no_sense_is_refused_and_costs_little(told: bytes, deliver: Deliver, talker: Connector) -> None:
    for sent in (sign(told), sign(seal(told)), Letter(seal(told))):
        assert deliver(sent).status_code == 404

    assert kept(talker) == []


def test_what_is_large_isnt_even_opened(deliver: Deliver, talker: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(body: bytes, key: str) -> Any:
        raise AssertionError("it is opened")

    monkeypatch.setattr(events, "opened", opened)
    large, middling = seal(b" " * events.LARGEST), seal(b" " * events.LARGEST_UNSIGNED)

    answers = [deliver(each) for each in (sign(large), sign(b"x" * 3_000_000), Letter(large), Letter(middling))]

    assert [answer.status_code for answer in answers] == [413, 413, 413, 404]


@pytest.mark.parametrize(
    "said",
    [
        {"sender": "../x"}, {"message_id": "om_1/../x"}, {"message_id": 7}, {"chat_id": ""}, {"chat_id": None},
    ],
)  # fmt: skip
def test_ids_that_are_none_are_let_pass(said: dict[str, Any], deliver: Deliver, talker: Connector) -> None:
    assert deliver(MESSAGE, message(**said)).status_code == 200
    assert kept(talker) == []


def test_what_a_program_says_is_let_pass(deliver: Deliver, talker: Connector) -> None:
    said = message()
    said["sender"]["sender_type"] = "app"

    assert deliver(MESSAGE, said).status_code == 200
    assert kept(talker) == []


@pytest.mark.parametrize(
    "content", ["", "no JSON", "[]", "7", '{"text": 7}', '{"image_key": "x"}', "[" * 100_000, None]
)
def test_content_without_words_is_kept_without_words(content: Any, deliver: Deliver, talker: Connector) -> None:
    deliver(MESSAGE, message(content=content))

    assert [row.text for row in kept(talker)] == [""]


def test_a_huge_text_is_cut_and_what_cant_be_stored_replaced(deliver: Deliver, talker: Connector) -> None:
    deliver(MESSAGE, message("\x00" + "x" * 100_000))

    text = kept(talker)[0].text
    assert (text[:2], len(text)) == ("\ufffdx", messages.LONGEST_TEXT)


def test_events_of_other_types_are_let_pass_and_not_kept(deliver: Deliver, talker: Connector) -> None:
    answer = deliver("im.chat.member.bot.added_v1", {"chat_id": CHAT})

    assert (answer.status_code, answer.json()) == (200, {})
    assert not BotEvent.objects.filter(connector=talker).exists()


def test_a_paused_connector_is_deaf_but_there(deliver: Deliver, talker: Connector, scope: Scope) -> None:
    connecting.change(scope, talker.pk, {"status": "paused"})

    assert deliver(challenge()).json() == {"challenge": "ajls384kdjx98XX"}
    assert deliver(MESSAGE, message()).status_code == 200
    assert kept(talker) == []


def test_too_many_messages_are_sent_again_later(
    deliver: Deliver, talker: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MOST_WAITING", 1)
    deliver(MESSAGE, message())
    said = message()

    refused = deliver(MESSAGE, said, event_id="ev2")
    BotMessage.objects.filter(connector=talker).update(state="failed", ended_at="2026-01-01T00:00:00Z")
    again = deliver(MESSAGE, said, event_id="ev2")

    assert (refused.status_code, again.status_code) == (503, 200)
    assert [row.state for row in kept(talker)] == ["failed", "received"]


def test_one_person_cant_fill_the_place(deliver: Deliver, talker: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MOST_OF_ONE", 2)

    for _ in range(3):
        deliver(MESSAGE, message())
    deliver(MESSAGE, message(sender="ou_bob"))

    assert [row.state for row in kept(talker)] == ["received", "received", "ignored", "received"]
    assert kept(talker)[2].text == ""


# --- the two secrets


def test_the_secrets_of_the_bot_go_in_and_never_come_out(alice: Person, talker: Connector) -> None:
    answer = alice.with_key().get(f"/api/feishu/connectors/{talker.pk}", headers={"X-Project-Id": "atlas"})

    assert answer.json()["has_encrypt_key"] is answer.json()["has_verification_token"] is True
    with org_scope(alice.org):
        row = Connector.objects.get(pk=talker.pk)
    for secret in (ENCRYPT_KEY, VERIFICATION_TOKEN, row.encrypt_key.token, row.verification_token.token):
        assert secret.encode() not in answer.content
        assert not AuditEntry.objects.filter(details__icontains=secret).exists()
    assert (row.encrypt_key.reveal(), row.verification_token.reveal()) == (ENCRYPT_KEY, VERIFICATION_TOKEN)


def test_another_method_finds_no_page(talker: Connector) -> None:
    assert Client().get(f"/connectors/feishu/acme/{talker.pk}/events").status_code == 405


# --- what we ask in return


def test_messages_are_sent_as_the_sdk_itself_sends_them(peer: Feishu, talker: Connector, sdk: Any) -> None:
    from lark_oapi.core.model import BaseRequest

    card = {"schema": "2.0", "body": {"elements": []}}
    asked: list[BaseRequest] = [
        requests.reply("om_1", {"text": "好"}, kind="text", once="a", in_thread=True),
        requests.send(SENDER, card, kind="interactive", once="b"),
        requests.send(CHAT, {"text": "x"}, kind="text", once="c", to_type="chat_id"),
        requests.bot(),
    ]

    theirs = [sdk.request(each) for each in asked]
    with asking.asker(talker) as feishu:
        ours = [feishu.ask(each) for each in asked]

    assert [answer.code for answer in theirs] == [0, 0, 0, 0]
    assert [answer["message_id"] for answer in ours[:3]] == [said.message_id for said in peer.world.said]
    assert ours[3]["bot"]["open_id"] == BOT
    reply, to_person, to_chat = peer.world.said
    assert (reply.answers, reply.in_thread, reply.content) == ("om_1", True, {"text": "好"})
    assert (to_person.to, to_person.content, to_chat.to) == (SENDER, card, CHAT)


def test_a_card_is_changed_where_it_stands(peer: Feishu, talker: Connector) -> None:
    with asking.asker(talker) as feishu:
        sent = feishu.ask(requests.send(SENDER, {"elements": []}, kind="interactive", once="a"))
        feishu.ask(requests.update_card(sent["message_id"], {"elements": [{"tag": "hr"}]}))

    assert [said.content for said in peer.world.said] == [{"elements": [{"tag": "hr"}]}]


@pytest.mark.parametrize("code", [230020, 230049])
def test_what_comes_too_fast_is_said_again(code: int, peer: Feishu, talker: Connector) -> None:
    peer.fail("/reply$", code=code, status=400)

    with asking.asker(talker) as feishu:
        feishu.ask(requests.reply("om_1", {"text": "x"}, kind="text", once="a", in_thread=False))

    assert (peer.count("/reply$"), len(peer.world.said)) == (2, 1)
