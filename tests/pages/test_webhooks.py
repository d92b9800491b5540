"""The pages and the API of webhooks: for admins alone, and a secret is seen once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openintern.tenancy.scope import org_scope
from runs.models import Delivery, Webhook
from tests.conftest import Person
from tests.peers.site import allow  # noqa: F401  a fixture

URL = "http://127.0.0.1:9/hook"
TOLD = {"name": "Operations", "url": URL, "event_types": ["run.completed"]}


@pytest.fixture(autouse=True)
def loopback(allow: Callable[..., None]) -> None:  # noqa: F811
    allow("127.0.0.1:9")


def only(person: Person) -> Webhook:
    with org_scope(person.org):
        return Webhook.objects.get(name=TOLD["name"])


def test_an_admin_adds_one_and_sees_its_secret_once(alice: Person) -> None:
    client = alice.signed_in()

    first = client.post("/webhooks", TOLD)
    later = client.get("/webhooks").content.decode()

    assert "whsec_" in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    assert "Operations" in later
    assert "whsec_" not in later
    assert "whsec_" not in client.get(f"/webhooks/{only(alice).pk}").content.decode()
    with org_scope(alice.org):
        assert "whsec_" not in str(Webhook.objects.filter(pk=only(alice).pk).values())


def test_what_is_wrong_is_said_beside_the_form(alice: Person) -> None:
    answer = alice.signed_in().post("/webhooks", {**TOLD, "url": "http://10.0.0.1/"})

    assert answer.status_code == 400
    assert "url: 10.0.0.1 is not a public address" in answer.content.decode()


def test_it_is_tested_changed_rotated_put_to_rest_and_removed(alice: Person) -> None:
    client = alice.signed_in()
    client.post("/webhooks", TOLD)
    path = f"/webhooks/{only(alice).pk}"

    client.post(f"{path}/test")
    with org_scope(alice.org):
        Delivery.objects.filter(webhook=only(alice)).update(state="dead", error="answered 500", status=500)
    page = client.get(path).content.decode()
    again = client.post(f"{path}/again")
    rotated = client.post(f"{path}/rotate").content.decode()
    client.post(path, {**TOLD, "event_types": ["run.failed", "run.cancelled"]})
    client.post(f"{path}/rest")

    assert "webhook.test" in page
    assert "answered 500" in page
    assert again.status_code == 302
    assert "whsec_" in rotated
    assert only(alice).event_types == ["run.cancelled", "run.failed"]
    assert only(alice).rests == "by_hand"
    assert client.post(f"{path}/test").status_code == 409
    client.post(f"{path}/use")
    assert only(alice).rests == ""
    client.post(f"{path}/remove")
    assert client.get(path).status_code == 404


def test_the_list_of_messages_is_its_own_fragment(alice: Person) -> None:
    client = alice.signed_in()
    client.post("/webhooks", TOLD)

    fragment = client.get(f"/webhooks/{only(alice).pk}", headers={"HX-Request": "true"}).content.decode()

    assert fragment.strip().startswith('<div id="deliveries"')


@pytest.mark.parametrize("path", ["/webhooks", "/api/webhooks"])
def test_it_is_for_admins_alone(bob: Person, victor: Person, path: str) -> None:
    for person in (bob, victor):
        assert person.signed_in().get(path).status_code == 403


def test_the_api_adds_lists_and_sends_again(alice: Person) -> None:
    client = alice.with_key()

    made = client.post("/api/webhooks", TOLD, content_type="application/json")
    path = f"/api/webhooks/{made.json()['webhook_id']}"
    json = {"content_type": "application/json"}
    sent = client.post(f"{path}/test", {}, **json, headers={"Idempotency-Key": "hook-test"}).json()
    client.post(f"{path}/test", {}, **json, headers={"Idempotency-Key": "hook-test"})
    [listed] = client.get(f"{path}/deliveries?state=queued").json()["deliveries"]

    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    assert "secret" not in client.get(path).json()
    assert listed["message_id"] == sent["message_id"]
    assert "run.completed" in client.get("/api/webhooks").json()["types"]
    assert client.post(f"{path}/deliveries/{listed['delivery_id']}/again", {}, **json).json() == {"queued": 1}
    assert client.post(f"{path}/deliveries/98765/again", {}, **json).status_code == 404
    assert client.post(f"{path}/deliveries/again", {}, **json).json() == {"queued": 0}
    assert client.post(f"{path}/rotate", {}, **json).json()["secret"].startswith("whsec_")
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"event_types": []}, "event_types"),
        ({"event_types": ["llm.token"]}, "event_types"),
        ({"event_types": [5]}, "event_types"),
        ({"name": ""}, "name"),
        ({"secret": "mine"}, "secret"),
        ({"url": "file:///etc/passwd"}, "url"),
    ],
)
def test_what_cannot_be_kept_is_refused(alice: Person, told: dict[str, object], field: str) -> None:
    answer = alice.with_key().post("/api/webhooks", {**TOLD, **told}, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]["details"]) == (400, {"field": field})
