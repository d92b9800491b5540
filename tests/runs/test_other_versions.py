"""Two versions beside each other, as in a deploy: events that this one doesn't know are kept, shown and passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Run
from tests.conftest import Person, events_of, reload

UNKNOWN = cast(EventType, "run.dreamt")  # of a version that comes after this one
ANSWER = "all there is"


@pytest.fixture
def run(alice: Person, start_run: Callable[..., Run], work: Callable[[], int]) -> Run:
    """A run whose log holds such an event as its worker takes it up."""
    run = start_run(alice, steps=[{"text": ANSWER}])
    dream(alice, run)
    assert work() == 1
    return reload(alice, run)


def dream(person: Person, run: Run) -> None:
    with org_scope(person.org):
        log.append(Run.objects.get(pk=run.pk), Draft(UNKNOWN, {"of": "sheep", "deep": {"er": [1]}}))


def test_a_worker_passes_over_it_and_ends_the_run(alice: Person, run: Run) -> None:
    types = [event.type for event in events_of(alice, run)]

    assert run.status == Run.Status.COMPLETED
    assert run.output == ANSWER
    assert types.count(UNKNOWN) == 1
    assert [event.seq for event in events_of(alice, run)] == list(range(1, len(types) + 1))


def test_the_api_tells_it_as_it_is(alice: Person, run: Run) -> None:
    client = alice.with_key()

    told = client.get(f"/api/runs/{run.pk}/events").json()["events"]
    exported = b"".join(cast(Any, client.get(f"/api/runs/{run.pk}/export?format=jsonl")))

    [event] = [event for event in told if event["type"] == UNKNOWN]
    assert event["payload"] == {"of": "sheep", "deep": {"er": [1]}}
    assert UNKNOWN in [json.loads(line)["type"] for line in exported.decode().splitlines()]


@pytest.mark.parametrize(
    "page", ["/trace/{run}", "/trace/{run}?view=events", "/turns/{run}", "/chat/{session}", "/runs"]
)
def test_every_page_of_the_run_is_there(alice: Person, run: Run, page: str) -> None:
    answer = alice.signed_in().get(page.format(run=run.pk, session=run.session.key))

    assert answer.status_code == 200, page


def test_the_list_of_its_events_shows_it(alice: Person, run: Run) -> None:
    assert UNKNOWN in alice.signed_in().get(f"/trace/{run.pk}?view=events").content.decode()
