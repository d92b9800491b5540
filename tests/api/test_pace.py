"""Nobody floods the queue: tasks too many in a minute are refused, and only theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.models import Run
from tests.conftest import Person

TASK = {"input": "again", "llm_config": {"provider": "mock"}}


@pytest.fixture(autouse=True)
def six_a_minute(alice: Person) -> None:
    """Acme may give six tasks a minute, and so each of its people three."""
    with org_scope(alice.org):
        Run.objects.update(created_at=F("created_at") - timedelta(hours=1))
    Organization.objects.filter(pk=alice.org.pk).update(max_runs_per_minute=6)


def statuses(person: Person, number: int) -> list[int]:
    client = person.with_key()
    return [client.post("/api/runs", TASK, content_type="application/json").status_code for _ in range(number)]


def test_a_person_is_held_back_then_the_organisation_but_no_other(alice: Person, bob: Person, charlie: Person) -> None:
    assert statuses(alice, 5) == [201, 201, 201, 429, 429]
    assert statuses(bob, 4) == [201, 201, 201, 429]
    assert statuses(charlie, 8) == [201] * 8


def test_who_is_held_back_is_told_for_how_long_and_nothing_is_started(alice: Person) -> None:
    statuses(alice, 3)

    refused = alice.with_key().post("/api/runs", TASK, content_type="application/json")

    assert refused.json()["error"]["code"] == "THROTTLED"
    assert 0 < int(refused["Retry-After"]) <= 60
    with org_scope(alice.org):
        assert Run.objects.filter(created_at__gt=timezone.now() - timedelta(minutes=1)).count() == 3


def test_the_page_holds_back_alike(alice: Person) -> None:
    client = alice.signed_in()

    answers = [client.post("/", {"input": "again"}) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [302, 302, 302, 429]
    assert b"Too many tasks" in answers[-1].content


def test_a_minute_later_one_may_go_on(alice: Person) -> None:
    statuses(alice, 3)
    with org_scope(alice.org):
        Run.objects.update(created_at=F("created_at") - timedelta(seconds=61))

    assert statuses(alice, 1) == [201]


def test_a_repeated_key_counts_once(alice: Person) -> None:
    client = alice.with_key()
    sent = {"content_type": "application/json", "headers": {"Idempotency-Key": "one"}}

    assert [client.post("/api/runs", TASK, **sent).status_code for _ in range(8)] == [201] * 8


def test_commands_are_not_held_back(alice: Person) -> None:
    scope = replace(alice.scope, via="command")
    with org_scope(alice.org):
        for _ in range(8):
            lifecycle.create_run(scope, text="again", at=timezone.now(), llm_config={"provider": "mock"})


def test_nothing_a_minute_is_nothing(
    alice: Person, start_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alice.org, "max_runs_per_minute", 0)

    with pytest.raises(OpenInternError, match="Too many"):
        start_run(alice)
