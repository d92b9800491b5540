"""A bot set up by API and page: for admins, with secrets that go in and never come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from connectors import connecting
from connectors.bot import people
from connectors.checks import bots
from connectors.models import BotMessage, Connector, FeishuPerson
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import Scope, org_scope, public_scope
from tests.conftest import Person
from tests.peers.feishu.events import ENCRYPT_KEY, SENDER, VERIFICATION_TOKEN
from tests.peers.feishu.server import APP_ID, APP_SECRET


def ask(person: Person, method: str, path: str, **body: Any) -> Any:
    data = {"data": body, "content_type": "application/json"} if method != "get" else {}
    with public_scope():
        return getattr(person.with_key(), method)(
            f"/api/feishu/connectors{path}", headers={"X-Project-Id": "atlas"}, **data
        )


@pytest.fixture
def said(talker: Connector) -> BotMessage:
    """What a stranger wrote, and what came of it."""
    row = BotMessage(
        connector=talker, message_id="om_1", conversation="om_1", sender="ou_stranger", text="canaryWords",
        state="failed", problem="The app has no bot", ended_at=timezone.now(),
    )  # fmt: skip
    row.save(force_insert=True)
    return row


def test_people_are_named_listed_and_forgotten(alice: Person, talker: Connector) -> None:
    path = f"/{talker.pk}/people"

    named = ask(alice, "post", path, open_id="ou_bob", username="bob")
    again = ask(alice, "post", path, open_id="ou_bob", username="victor")
    listed = ask(alice, "get", path)
    forgotten = ask(alice, "delete", f"{path}/ou_bob")

    assert (named.status_code, named.json()) == (201, {"open_id": "ou_bob", "username": "bob"})
    assert again.status_code == 201
    assert listed.json()["people"] == [
        {"open_id": SENDER, "username": "alice"},
        {"open_id": "ou_bob", "username": "victor"},
    ]
    assert forgotten.status_code == 204
    assert ask(alice, "delete", f"{path}/ou_bob").status_code == 404


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("username", {"open_id": "ou_x", "username": "charlie"}), ("username", {"open_id": "ou_x", "username": "nobody"}),
        ("open_id", {"open_id": "../x", "username": "bob"}), ("username", {"open_id": "ou_x"}),
        ("open_id", {"open_id": "", "username": "bob"}), ("open_id", {"open_id": 7.5, "username": "bob"}),
    ],
)  # fmt: skip
def test_who_isnt_here_cant_be_named(field: str, told: dict[str, Any], alice: Person, talker: Connector) -> None:
    answer = ask(alice, "post", f"/{talker.pk}/people", **told)

    assert (answer.status_code, answer.json()["error"]["details"]) == (400, {"field": field})


def test_a_connector_knows_so_many(alice: Person, talker: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "MOST_PEOPLE", 1)

    assert ask(alice, "post", f"/{talker.pk}/people", open_id="ou_bob", username="bob").status_code == 413
    assert ask(alice, "post", f"/{talker.pk}/people", open_id=SENDER, username="bob").status_code == 201


def test_messages_are_told_by_what_became_of_them(alice: Person, talker: Connector, said: BotMessage) -> None:
    answer = ask(alice, "get", f"/{talker.pk}/messages?limit=5")

    [row] = answer.json()["messages"]
    assert (row["id"], row["sender"], row["state"], row["run_id"]) == (said.pk, "ou_stranger", "failed", "")
    assert row["problem"] == "The app has no bot"
    assert b"canaryWords" not in answer.content
    assert ask(alice, "get", f"/{talker.pk}/messages?limit=0").status_code == 400


def test_the_bot_is_the_admins(
    bob: Person, victor: Person, charlie: Person, talker: Connector, project: Project, said: BotMessage
) -> None:
    for person in (bob, victor):
        Membership.objects.get(user=person.user).projects.add(project)
        assert ask(person, "get", f"/{talker.pk}/people").status_code == 403
        assert (
            ask(person, "post", f"/{talker.pk}/people", open_id="ou_x", username=person.user.username).status_code
            == 403
        )
        assert ask(person, "delete", f"/{talker.pk}/people/{SENDER}").status_code == 403
        assert ask(person, "get", f"/{talker.pk}/messages").status_code == 403
        client = person.signed_in()
        page = client.get(f"/connectors/{talker.pk}").content.decode()
        assert "/events" not in page
        assert "ou_stranger" not in page
        assert client.post(f"/connectors/{talker.pk}/people", {"open_id": "ou_x", "username": "bob"}).status_code == 403
    stranger = charlie.signed_in()
    assert (
        stranger.post(f"/connectors/{talker.pk}/people", {"open_id": "ou_x", "username": "charlie"}).status_code == 404
    )
    assert [person.open_id for person in FeishuPerson.objects.filter(connector=talker)] == [SENDER]


@pytest.mark.parametrize("public", ["", "https://agents.example.org"])
def test_the_address_for_feishu_is_told(
    public: str, alice: Person, talker: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = replace(settings.CONFIG.server, public_url=public)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))
    path = f"/connectors/feishu/acme/{talker.pk}/events"

    told = ask(alice, "get", f"/{talker.pk}").json()["events_url"]
    page = alice.signed_in().get(f"/connectors/{talker.pk}").content.decode()

    assert told == public + path
    assert f'value="{public or "http://testserver"}{path}"' in page


def test_a_bot_is_set_up_on_the_page(alice: Person, scope: Scope, connect: Callable[..., Connector], peer: Any) -> None:
    connector = connect()
    client = alice.signed_in()
    before = client.get(f"/connectors/{connector.pk}").content.decode()
    form = {"name": "Talker", "app_id": APP_ID, "base_url": peer.url}

    client.post(f"/connectors/{connector.pk}", form | {"encrypt_key": ENCRYPT_KEY})
    half = client.get(f"/connectors/{connector.pk}").content.decode()
    client.post(f"/connectors/{connector.pk}", form | {"verification_token": VERIFICATION_TOKEN})
    whole = client.get(f"/connectors/{connector.pk}").content.decode()

    assert ("It still needs:" in before, "half set up" in before) == (True, False)
    assert "half set up" in half
    assert "It still needs:" not in whole
    for secret in (ENCRYPT_KEY, VERIFICATION_TOKEN, APP_SECRET):
        assert secret not in half + whole
    made = connecting.find(scope, connector.pk)
    assert made.hears
    assert made.app_secret.reveal() == APP_SECRET


def test_strangers_are_offered_named_and_forgotten_on_the_page(
    alice: Person, talker: Connector, said: BotMessage
) -> None:
    client = alice.signed_in()
    url = f"/connectors/{talker.pk}"
    before = client.get(url).content.decode()

    client.post(f"{url}/people", {"open_id": " ou_stranger ", "username": "bob"})
    named = client.get(url).content.decode()
    client.post(f"{url}/people", {"forget": "ou_stranger"})
    refused = client.post(f"{url}/people", {"open_id": "ou_x", "username": "charlie"}, follow=True).content.decode()

    assert '<option value="ou_stranger">' in before
    assert "The app has no bot" in before
    assert '<option value="ou_stranger">' not in named
    assert "Forget who bob is at Feishu" in named
    assert "There is no such person in this organisation" in refused
    assert "canaryWords" not in before + named
    assert [person.open_id for person in FeishuPerson.objects.filter(connector=talker)] == [SENDER]


def test_the_admin_looks_at_it(alice: Person, talker: Connector, said: BotMessage) -> None:
    client = alice.signed_in()

    for path in ("botmessage/", f"botmessage/{said.pk}/change/", "feishuperson/", f"connector/{talker.pk}/change/"):
        page = client.get(f"/admin/connectors/{path}")
        assert page.status_code == 200, path
        assert talker.encrypt_key.token not in page.content.decode()
        assert ENCRYPT_KEY not in page.content.decode()


def test_doctor_tells_of_half_a_bot(alice: Person, talker: Connector, scope: Scope) -> None:
    with public_scope():
        before = bots()
    connecting.change(scope, talker.pk, {"verification_token": ""})
    with public_scope():
        after = bots()

    assert f"acme/{talker.pk}" not in before.summary
    assert not after.ok
    assert f"acme/{talker.pk} lacks verification_token" in after.summary
    with org_scope(alice.org):
        assert Connector.objects.filter(pk=talker.pk).exists()
