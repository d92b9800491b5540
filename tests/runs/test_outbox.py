"""What is committed is told, what isn't is not, and telling it costs and delays no run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from openintern import outgoing
from openintern.errors import OpenInternError
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs import lifecycle, log
from runs.events import Draft, EventType
from runs.models import Delivery, Run, Webhook
from runs.outbox import courier, emitting, letters, tidying, webhooks
from tests.conftest import Person
from tests.peers.receiver import Receiver, Told

ENDS = [EventType.RUN_COMPLETED.value, EventType.RUN_FAILED.value]
Receive = Callable[..., Receiver]
Start = Callable[..., Run]


@pytest.fixture(autouse=True)
def no_webhook(alice: Person, charlie: Person) -> Iterator[None]:
    """Nobody is told anything by what other tests left."""
    clear(alice, charlie)
    yield
    clear(alice, charlie)


def clear(*people: Person) -> None:
    for person in people:
        with org_scope(person.org):
            Webhook.objects.all().delete()


@pytest.fixture
def hook_to(alice: Person, allow: Callable[..., None]) -> Callable[..., tuple[Webhook, str]]:
    """Add a webhook of acme's to receivers on loopback."""
    places: list[str] = []

    def add(receiver: Receiver, person: Person = alice, **told: Any) -> tuple[Webhook, str]:
        places.append(receiver.place)
        allow(*places)
        with org_scope(person.org):
            return webhooks.add(person.scope, {"name": "ours", "url": receiver.url, "event_types": ENDS, **told})

    return add


def deliver(*people: Person) -> int:
    """Be a courier until nothing is due."""
    return courier.deliver_all([person.org for person in people])


def deliveries(person: Person, hook: Webhook) -> list[Delivery]:
    with org_scope(person.org):
        return list(Delivery.objects.filter(webhook=hook).order_by("pk"))


def make_due(person: Person, hook: Webhook) -> None:
    """Let the pauses pass."""
    with org_scope(person.org):
        Delivery.objects.filter(webhook=hook).update(available_at=timezone.now() - timedelta(seconds=1))
        Webhook.objects.filter(pk=hook.pk).update(available_at=timezone.now() - timedelta(seconds=1))


def say(person: Person, hook: Webhook, count: int = 1) -> None:
    """Put messages into a webhook's outbox."""
    with org_scope(person.org):
        for number in range(count):
            emitting.enqueue(hook, emitting.TEST, {"number": number})


def reloaded(person: Person, hook: Webhook) -> Webhook:
    with org_scope(person.org):
        return Webhook.objects.get(pk=hook.pk)


def test_what_a_run_comes_to_is_told_signed_and_once(
    alice: Person,
    start_run: Start,
    work: Callable[[], int],
    receive: Receive,
    hook_to: Any,
) -> None:
    receiver = receive()
    hook, secret = hook_to(receiver)
    run = start_run(alice)
    work()

    assert deliver(alice) == 1
    assert deliver(alice) == 0

    [told] = receiver.told
    assert told.is_signed_by(secret)
    assert not told.is_signed_by("whsec_" + "A" * 32)
    assert abs(int(told.headers["webhook-timestamp"]) - time.time()) < 60
    assert (told.json["type"], told.json["org_id"], told.json["data"]["run_id"]) == ("run.completed", "acme", run.pk)
    with org_scope(alice.org):
        [event] = run.events.filter(type="run.completed")
        assert told.json["data"] == event.envelope(Run.objects.select_related("session").get(pk=run.pk))
    [delivery] = deliveries(alice, hook)
    assert (delivery.state, delivery.status, delivery.message_id) == ("done", 200, told.id)


def test_events_are_told_in_the_order_of_their_numbers(
    alice: Person,
    start_run: Start,
    work: Callable[[], int],
    receive: Receive,
    hook_to: Any,
) -> None:
    receiver = receive()
    hook_to(receiver, event_types=[type.value for type in EventType if type is not EventType.LLM_TOKEN])
    run = start_run(alice)
    work()

    deliver(alice)

    with org_scope(alice.org):
        logged = list(run.events.order_by("seq").values_list("seq", flat=True))
    assert [each.json["data"]["seq"] for each in receiver.told] == logged


def test_what_was_not_committed_is_not_told(alice: Person, start_run: Start, receive: Receive, hook_to: Any) -> None:
    hook, _ = hook_to(receive(), event_types=["run.started"])
    run = start_run(alice)

    with org_scope(alice.org), transaction.atomic():
        log.append(run, Draft(EventType.RUN_STARTED, {}), status=Run.Status.RUNNING)
        assert Delivery.objects.filter(webhook=hook).count() == 1
        transaction.set_rollback(True)

    assert deliveries(alice, hook) == []


def test_nobody_pays_with_a_query_whoever_listens(
    alice: Person, start_run: Start, receive: Receive, hook_to: Any
) -> None:
    run = start_run(alice)
    with org_scope(alice.org), CaptureQueriesContext(connection) as before:
        log.append(run, Draft(EventType.USER_INJECTED, {}))

    hook, _ = hook_to(receive(), event_types=["user.injected"])
    with org_scope(alice.org), CaptureQueriesContext(connection) as after:
        log.append(run, Draft(EventType.USER_INJECTED, {}))

    assert len(before) == len(after)
    assert len(deliveries(alice, hook)) == 1


def test_another_organisations_webhook_hears_nothing(
    alice: Person,
    charlie: Person,
    start_run: Start,
    work: Callable[[], int],
    receive: Receive,
    hook_to: Any,
) -> None:
    receiver = receive()
    hook_to(receiver, charlie)
    start_run(alice)
    work()

    deliver(alice, charlie)

    assert receiver.told == []


def test_what_is_not_taken_is_tried_for_a_day_and_then_given_up(
    alice: Person,
    receive: Receive,
    hook_to: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(letters, "PAUSES", (5, 30))
    receiver = receive(500)
    hook, _ = hook_to(receiver)
    say(alice, hook)

    for _attempt in range(5):
        deliver(alice)
        make_due(alice, hook)

    [delivery] = deliveries(alice, hook)
    assert (delivery.state, delivery.attempts, delivery.status) == ("dead", 3, 500)
    assert len({told.id for told in receiver.told}) == 1
    assert len(receiver.told) == 3


def test_the_pauses_grow_and_come_to_a_day() -> None:
    pauses = [letters.pause_after(attempt) for attempt in range(1, len(letters.PAUSES) + 1)]

    assert all(0.8 * told <= pause <= 1.2 * told for told, pause in zip(letters.PAUSES, pauses, strict=True) if pause)
    assert 20 * 3600 < sum(letters.PAUSES) < 30 * 3600
    assert letters.pause_after(len(letters.PAUSES) + 1) is None


def test_what_was_given_up_is_sent_again_by_hand(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive()
    hook, _ = hook_to(receiver)
    say(alice, hook, 2)
    with org_scope(alice.org):
        Delivery.objects.filter(webhook=hook).update(state="dead", attempts=10)
        assert webhooks.send_again(alice.scope, hook.pk) == 2

    deliver(alice)
    first = deliveries(alice, hook)[0]
    with org_scope(alice.org):
        webhooks.send_again(alice.scope, hook.pk, delivery_id=first.pk)
    deliver(alice)

    assert [told.id for told in receiver.told].count(first.message_id) == 2
    assert {each.state for each in deliveries(alice, hook)} == {"done"}


def test_a_receiver_that_is_down_is_left_alone_for_a_while(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive(503)
    hook, _ = hook_to(receiver)
    say(alice, hook, 3)

    deliver(alice)
    deliver(alice)

    assert len(receiver.told) == 1
    assert reloaded(alice, hook).failures == 1
    receiver.answer = 200
    make_due(alice, hook)
    assert deliver(alice) == 3
    assert (reloaded(alice, hook).failures, reloaded(alice, hook).failing_since) == (0, None)


def test_one_message_that_is_refused_holds_up_no_other(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive(lambda told: 400 if told.json["data"]["number"] == 0 else 200)
    hook, _ = hook_to(receiver)
    say(alice, hook, 3)

    assert deliver(alice) == 2
    assert [each.state for each in deliveries(alice, hook)] == ["queued", "done", "done"]


def test_a_slow_receiver_holds_up_nobody_else(alice: Person, receive: Receive, hook_to: Any) -> None:
    heard, quick = threading.Event(), receive()

    def waits(_told: Told) -> int:
        heard.wait(10)
        return 200

    def hears(_told: Told) -> int:
        heard.set()
        return 200

    slow_hook, _ = hook_to(receive(waits))
    quick.answer = hears
    quick_hook, _ = hook_to(quick, name="quick")
    say(alice, slow_hook)
    say(alice, quick_hook)

    assert deliver(alice) == 2
    assert heard.is_set()


def test_a_redirect_is_not_followed(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive(302)
    hook, _ = hook_to(receiver)
    say(alice, hook)

    assert deliver(alice) == 0
    assert (len(receiver.told), deliveries(alice, hook)[0].error) == (1, "answered 302")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://2130706433/", "ftp://example.org/",
     "http://user:pass@example.org/", "javascript:alert(1)", "https://", "http://localhost:80/"],
)  # fmt: skip
def test_an_address_inside_is_refused_when_it_is_saved(alice: Person, url: str) -> None:
    with org_scope(alice.org), pytest.raises(OpenInternError) as refused:
        webhooks.add(alice.scope, {"name": "inside", "url": url, "event_types": ENDS})

    assert refused.value.details == {"field": "url"}


def test_a_name_that_changes_its_mind_is_refused_when_it_is_reached(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = outgoing._resolve
    with org_scope(alice.org):
        monkeypatch.setattr(outgoing, "_resolve", lambda host, port: resolve("93.184.216.34", port))
        hook, _ = webhooks.add(alice.scope, {"name": "x", "url": "http://changes.example/", "event_types": ENDS})
    monkeypatch.setattr(outgoing, "_resolve", lambda host, port: resolve("127.0.0.1", port))
    say(alice, hook)

    assert deliver(alice) == 0
    assert "not a public address" in deliveries(alice, hook)[0].error


def test_after_a_rotation_both_secrets_sign_for_a_day(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive()
    hook, old = hook_to(receiver)
    with org_scope(alice.org):
        new = webhooks.rotate(alice.scope, hook.pk, at=timezone.now())
    say(alice, hook)
    deliver(alice)
    with org_scope(alice.org):
        Webhook.objects.filter(pk=hook.pk).update(old_secret_until=timezone.now())
    say(alice, hook)
    deliver(alice)

    first, second = receiver.told
    assert first.is_signed_by(old)
    assert first.is_signed_by(new)
    assert second.is_signed_by(new)
    assert not second.is_signed_by(old)


def test_a_courier_that_dies_before_it_settles_leaves_the_same_message_to_the_next(
    alice: Person,
    receive: Receive,
    hook_to: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    receiver = receive()
    hook, _ = hook_to(receiver)
    say(alice, hook)

    def dies(*_args: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(courier, "_settle", dies)
        with pytest.raises(KeyboardInterrupt):
            deliver(alice)
    assert deliver(alice) == 0  # the lease is still the dead one's
    make_due(alice, hook)
    assert deliver(alice) == 1

    assert len({told.id for told in receiver.told}) == 1
    assert len(receiver.told) == 2


def test_one_webhook_is_served_by_one_courier_at_a_time(alice: Person, receive: Receive, hook_to: Any) -> None:
    hook, _ = hook_to(receive())
    say(alice, hook)

    with org_scope(alice.org):
        first, second = courier._taken(alice.org), courier._taken(alice.org)

    assert first is not None
    assert second is None


@pytest.mark.parametrize("why", ["failing", "gone"])
def test_a_webhook_that_fails_for_days_or_is_gone_is_used_no_more(
    alice: Person,
    receive: Receive,
    hook_to: Any,
    why: str,
) -> None:
    hook, _ = hook_to(receive(410 if why == "gone" else 500))
    say(alice, hook, 2)
    if why == "failing":
        with org_scope(alice.org):
            Webhook.objects.filter(pk=hook.pk).update(failing_since=timezone.now() - timedelta(days=4))

    deliver(alice)

    assert reloaded(alice, hook).rests == why
    assert {each.state for each in deliveries(alice, hook)} == {"dead"}
    assert AuditEntry.objects.get(action="webhook.rest", object_id=hook.pk).details == {"reason": why}


def test_a_webhook_at_rest_is_told_nothing(
    alice: Person,
    start_run: Start,
    work: Callable[[], int],
    receive: Receive,
    hook_to: Any,
) -> None:
    hook, _ = hook_to(receive())
    with org_scope(alice.org):
        webhooks.rest(alice.scope, hook.pk)
    start_run(alice)
    work()

    assert deliveries(alice, hook) == []


def test_a_run_that_was_deleted_meanwhile_is_told_of_no_more(
    alice: Person,
    start_run: Start,
    work: Callable[[], int],
    receive: Receive,
    hook_to: Any,
) -> None:
    receiver = receive()
    hook, _ = hook_to(receiver)
    run = start_run(alice)
    work()
    with org_scope(alice.org):
        lifecycle.delete_run(alice.scope, run.pk, at=timezone.now())

    deliver(alice)

    assert (receiver.told, deliveries(alice, hook)[0].error) == ([], "Its run is gone")


def test_a_long_message_leaves_its_payload_out(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive()
    hook, _ = hook_to(receiver)
    with org_scope(alice.org):
        emitting.enqueue(hook, emitting.TEST, {"run_id": "run_x", "payload": "x" * letters.LONGEST_BODY})

    deliver(alice)

    assert receiver.told[0].json["data"] == {"run_id": "run_x", "payload_omitted": True}


def test_other_apps_tell_what_they_announced_without_secrets(alice: Person, receive: Receive, hook_to: Any) -> None:
    receiver = receive()
    hook_to(receiver, event_types=["connector.sync.completed"])
    with org_scope(alice.org):
        told = emitting.emit("connector.sync.completed", {"token": "ghp_" + "a" * 40, "nul": "a\0b"})
        with pytest.raises(ValueError, match="not announced"):
            emitting.emit("connector.unheard", {})

    deliver(alice)

    assert told == 1
    assert receiver.told[0].json["data"] == {"token": "[redacted]", "nul": "a�b"}


def test_old_deliveries_go(alice: Person, receive: Receive, hook_to: Any) -> None:
    hook, _ = hook_to(receive())
    say(alice, hook, 4)
    with org_scope(alice.org):
        ids = list(Delivery.objects.filter(webhook=hook).order_by("pk").values_list("pk", flat=True))
        for pk, state, days in zip(ids, ("done", "done", "dead", "dead"), (6, 8, 29, 31), strict=True):
            Delivery.objects.filter(pk=pk).update(state=state, settled_at=timezone.now() - timedelta(days=days))

        tidying.forget(at=timezone.now())

    assert [each.pk for each in deliveries(alice, hook)] == [ids[0], ids[2]]


def test_the_command_sends_what_is_due(alice: Person, receive: Receive, hook_to: Any, capsys: Any) -> None:
    hook, _ = hook_to(receive())
    say(alice, hook)

    call_command("courier", once=True)

    assert "1 messages delivered" in capsys.readouterr().out
