"""Two passes, two decisions, a decision and a correction at the same time: on connections of their own, with real commits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from memory import keeping
from memory.consolidation import deciding, passes
from memory.models import Change, ChangeSet, Memory, Passage, Shelf, State
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.errors import OpenInternError
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast, Person

SAID = ("The ledger is backed up every night at 03:00", "The ledger gets backed up every night at 03:00")


@pytest.fixture
def twice(committed: Cast) -> Iterator[list[Memory]]:
    """The same, said by Bob in two ways, and committed."""
    bob = committed.bob
    with org_scope(bob.org):
        memories = [
            remember(owner=Owner.of_user(bob.user), tier="core", text=text, origin=Origin(author=bob.user))
            for text in SAID
        ]
    yield memories
    with org_scope(bob.org):
        mine = Shelf.objects.filter(user=bob.user, tier="core")
        ChangeSet.objects.filter(user=bob.user).delete()
        Passage.objects.filter(memory__shelf__in=mine).delete()
        Memory.objects.filter(shelf__in=mine).delete()
        mine.delete()


def at_once(person: Person, *acts: Callable[[], Any]) -> list[str]:
    """Do these at the same time, each inside the organisation; return what became of each: `done` or the refusal's code."""
    start, outcomes = threading.Barrier(len(acts)), ["" for _ in acts]

    def run(place: int) -> None:
        try:
            with org_scope(person.org):
                start.wait(20)
                acts[place]()
                outcomes[place] = "done"
        except OpenInternError as error:
            outcomes[place] = error.code
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


def propose(person: Person) -> list[ChangeSet]:
    return passes.propose(Owner.of_user(person.user), org=person.org, at=timezone.now())


def test_of_two_passes_one_proposes(twice: list[Memory], committed: Cast) -> None:
    bob = committed.bob

    outcomes = at_once(bob, *[lambda: propose(bob)] * 4)

    with org_scope(bob.org):
        assert outcomes == ["done"] * 4
        assert ChangeSet.objects.filter(user=bob.user).count() == 1
        assert Change.objects.filter(change_set__user=bob.user).count() == 1


def test_of_two_decisions_one_stands(twice: list[Memory], committed: Cast) -> None:
    bob = committed.bob
    with org_scope(bob.org):
        [change_set] = propose(bob)

    outcomes = at_once(
        bob,
        *[lambda: deciding.accept(bob.scope, change_set.pk, at=timezone.now())] * 3,
        lambda: deciding.reject(bob.scope, change_set.pk, at=timezone.now()),
    )

    assert sorted(outcomes) == ["CONFLICT"] * 3 + ["done"]
    with org_scope(bob.org):
        change_set.refresh_from_db()
        merged = Memory.objects.filter(shelf__user=bob.user, source_type="consolidation").count()
    assert merged == (1 if change_set.state == State.ACCEPTED else 0)


def test_a_correction_beside_a_decision_is_never_lost(twice: list[Memory], committed: Cast) -> None:
    bob = committed.bob
    with org_scope(bob.org):
        [change_set] = propose(bob)

    outcomes = at_once(
        bob,
        lambda: deciding.accept(bob.scope, change_set.pk, at=timezone.now()),
        lambda: keeping.correct(bob.scope, twice[0].pk, text="The ledger is in the cellar"),
    )

    with org_scope(bob.org):
        texts = set(
            Memory.objects.filter(shelf__user=bob.user, superseded_at=None, forgotten_at=None).values_list(
                "text", flat=True
            )
        )
    assert sorted(outcomes) == ["CONFLICT", "done"]
    assert texts == ({"The ledger is in the cellar", SAID[1]} if outcomes[1] == "done" else {*SAID} & texts)
    assert len(texts) == (2 if outcomes[1] == "done" else 1)
