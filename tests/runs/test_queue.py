"""Which run is next, who may have it, and what becomes of it when its worker goes."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django_q.models import OrmQ

from openintern.database import own_connection_parameters
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope, public_scope
from runs import log
from runs.engine import transactions
from runs.events import Draft, EventType
from runs.log import StaleAttempt
from runs.models import Run
from runs.queue import broker, claims, tickets, worker
from runs.queue.claims import Claim
from runs.queue.models import Ticket, Turn
from runs.stop import Stop
from tests.conftest import Cast, Person, reload
from tests.runs.conftest import expire_leases, ticket_of

Start = Callable[..., Run]
_numbers = itertools.count(1)


def queue_up(
    person: Person, *, session: int | None = None, count: int = 1, model: str = "mock", **fields: Any
) -> list[Ticket]:
    """Put tickets of runs that nobody looks at into the queue; each in a session of its own unless told."""
    with public_scope():
        Turn.objects.get_or_create(organization=person.org)
        return [
            Ticket.objects.create(
                organization=person.org,
                session_id=session or 10**6 + next(_numbers),
                run_id=f"run_q{next(_numbers)}",
                model=model,
                **fields,
            )
            for _ in range(count)
        ]


def claim(owner: str = "worker") -> Claim | None:
    with public_scope():
        return claims.claim(owner)


def claimed_orgs(count: int) -> list[int]:
    return [one.organization_id for one in (claim() for _ in range(count)) if one]


def finish(done: Claim) -> None:
    with public_scope():
        Ticket.objects.filter(pk=done.ticket_id).delete()


@pytest.fixture
def org_of(committed: Any) -> Iterator[Callable[..., Organization]]:
    """Change a person's organisation for the test."""
    changed: list[tuple[int, dict[str, Any]]] = []

    def change(person: Person, **fields: Any) -> None:
        before = Organization.objects.filter(pk=person.org.pk).values(*fields).get()
        changed.append((person.org.pk, before))
        Organization.objects.filter(pk=person.org.pk).update(**fields)

    yield change
    for pk, before in changed:
        Organization.objects.filter(pk=pk).update(**before)


def test_the_runs_of_a_session_are_serial_and_in_order(alice: Person) -> None:
    first, second = queue_up(alice, session=1, count=2)

    taken = claim()

    assert taken is not None
    assert taken.run_id == first.run_id
    assert claim() is None
    finish(taken)
    following = claim()
    assert following is not None
    assert following.run_id == second.run_id


def test_sessions_run_side_by_side(alice: Person) -> None:
    queue_up(alice, count=3)

    assert claimed_orgs(4) == [alice.org.pk] * 3


def test_a_small_organisation_is_served_next_beside_a_big_one(alice: Person, charlie: Person) -> None:
    for session in range(1, 41):
        queue_up(alice, session=session, count=5)
    for _ in range(4):
        assert claimed_orgs(1) == [alice.org.pk]

    queue_up(charlie)

    assert claimed_orgs(1) == [charlie.org.pk]


def test_organisations_take_turns(alice: Person, charlie: Person) -> None:
    queue_up(alice, count=20)
    queue_up(charlie, count=3)

    served: list[int] = []
    for _ in range(6):
        done = claim()
        assert done is not None
        served.append(done.organization_id)
        finish(done)

    assert sorted(served[:2]) == sorted(served[2:4]) == sorted(served[4:]) == sorted([alice.org.pk, charlie.org.pk])


def test_an_organisation_runs_no_more_at_once_than_it_may(alice: Person, org_of: Callable[..., None]) -> None:
    org_of(alice, max_concurrent_runs=2)
    queue_up(alice, count=5)

    assert len(claimed_orgs(5)) == 2


def test_a_model_runs_no_more_at_once_than_it_may(alice: Person, charlie: Person, settings: Any) -> None:
    agent = replace(django_settings.CONFIG.agent, model_limits={"dear": 1})
    settings.CONFIG = replace(django_settings.CONFIG, agent=agent)
    queue_up(alice, count=2, model="dear")
    queue_up(charlie, count=2, model="dear")
    queue_up(charlie, model="cheap")

    assert len(claimed_orgs(5)) == 2


def test_a_run_that_waits_for_a_person_keeps_its_place(alice: Person) -> None:
    queue_up(alice, session=7, available_at=None)
    queue_up(alice, session=7)

    assert claim() is None


@pytest.mark.parametrize("fields", [{"is_active": False}, {"migrated_to": "an older version"}])
def test_an_organisation_that_can_not_be_entered_starts_nothing(
    alice: Person, charlie: Person, org_of: Callable[..., None], fields: dict[str, Any]
) -> None:
    queue_up(alice)
    queue_up(charlie)
    org_of(alice, **fields)

    assert claimed_orgs(2) == [charlie.org.pk]
    assert Ticket.objects.get(organization=alice.org).losses == 0


def side_by_side(count: int) -> list[Claim]:
    """Claim from `count` threads at once; return what they got."""
    got: list[Claim | None] = []
    together = threading.Barrier(count)

    def take(name: str) -> None:
        connection.ensure_connection()
        together.wait(20)
        got.append(claim(name))
        connections.close_all()

    threads = [threading.Thread(target=take, args=(f"worker {number}",)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == count
    return [one for one in got if one]


def test_of_sixteen_claimers_one_wins(alice: Person) -> None:
    queue_up(alice)

    assert len(side_by_side(16)) == 1


def test_sixteen_claimers_get_sixteen_runs(alice: Person, charlie: Person) -> None:
    queue_up(alice, count=8)
    queue_up(charlie, count=8)

    assert len({one.ticket_id for one in side_by_side(16)}) == 16


def test_caps_hold_when_all_claim_at_once(alice: Person, org_of: Callable[..., None]) -> None:
    org_of(alice, max_concurrent_runs=3)
    queue_up(alice, count=16)

    assert len(side_by_side(16)) == 3


def test_an_expired_lease_is_claimed_again_under_a_higher_number(alice: Person) -> None:
    queue_up(alice)
    lost = claim()
    assert claim() is None, "the lease is alive"

    expire_leases()
    again = claim()

    assert lost is not None
    assert again is not None
    assert (again.run_id, again.attempt, again.losses) == (lost.run_id, lost.attempt + 1, 1)


def test_a_zombie_can_write_nothing(alice: Person, start_run: Start) -> None:
    run = start_run(alice)
    first = claim("zombie")
    assert first is not None
    with org_scope(alice.org):
        zombie = transactions.begin(alice.org, first, stop=Stop(), losses=0)
    expire_leases()
    second = claim("heir")
    assert second is not None

    with org_scope(alice.org):
        transactions.begin(alice.org, second, stop=Stop(), losses=0)

        assert zombie is not None
        with pytest.raises(StaleAttempt):
            zombie.record(Draft(EventType.RUN_WARNING))
        with pytest.raises(StaleAttempt):
            transactions.begin(alice.org, first, stop=Stop(), losses=0)
        tickets.release(zombie.run)

    ticket = ticket_of(run)
    assert ticket is not None
    assert ticket.leased_by == "heir"


def test_a_run_that_was_handed_back_is_claimed_at_once_and_nothing_is_held_against_it(
    alice: Person, start_run: Start
) -> None:
    run = start_run(alice)
    first = claim()
    assert first is not None
    with org_scope(alice.org):
        run.attempt = first.attempt
        tickets.release(run)

    again = claim()

    assert again is not None
    assert (again.attempt, again.losses) == (2, 0)


def test_an_abandoned_run_is_claimed_at_once_and_counts_as_lost(alice: Person) -> None:
    queue_up(alice)
    first = claim()
    assert first is not None
    with public_scope():
        tickets.abandon(first.ticket_id, attempt=first.attempt)

    again = claim()

    assert again is not None
    assert (again.attempt, again.losses) == (2, 1)


def test_the_run_of_a_worker_that_died_is_claimed_at_once_and_counts_as_lost(alice: Person) -> None:
    [ticket] = queue_up(alice)
    claim(worker.owner_of(4711))

    worker.bury(4712)
    assert claim() is None  # it was another worker's
    worker.bury(4711)
    again = claim()

    assert again is not None
    assert (again.ticket_id, again.attempt, again.losses) == (ticket.pk, 2, 1)


def test_a_worker_of_another_cluster_is_not_buried_for_one_with_its_number(alice: Person) -> None:
    queue_up(alice)
    claim(worker.owner_of(4711).rpartition(":")[0] + ":another")

    worker.bury(4711)

    assert claim() is None


def test_a_lease_that_somebody_else_holds_can_not_be_abandoned(alice: Person) -> None:
    queue_up(alice)
    first = claim()
    expire_leases()
    second = claim("heir")
    assert first is not None
    assert second is not None

    with public_scope():
        tickets.abandon(first.ticket_id, attempt=first.attempt)
        tickets.let_go(first.ticket_id, attempt=first.attempt)

    assert claim() is None
    assert Ticket.objects.get().leased_by == "heir"


def test_a_run_whose_ticket_was_lost_gets_another(alice: Person, start_run: Start, work: Callable[[], int]) -> None:
    run = start_run(alice)
    with public_scope():
        Ticket.objects.all().delete()

    with org_scope(alice.org):
        tickets.requeue(run)
    work()

    assert reload(alice, run).status == "completed"


def test_a_ticket_appears_and_wakes_workers_with_the_commit_of_its_run(alice: Person, start_run: Start) -> None:
    with psycopg.connect(**own_connection_parameters(), autocommit=True) as listener:
        listener.execute(f"LISTEN {tickets.WORK}")

        run = start_run(alice)

        assert [note.payload for note in listener.notifies(timeout=2, stop_after=1)] == [
            f"{alice.org.schema_name}:{run.pk}"
        ]


def test_only_so_many_bells_are_rung_as_there_are_workers(alice: Person) -> None:
    queue_up(alice, session=1, count=5)
    queue_up(alice, count=4)

    with public_scope():
        assert claims.count_claimable_lanes(limit=10) == 5
        assert claims.count_claimable_lanes(limit=2) == 2


def test_ordinary_tasks_that_wait_are_taken_one_after_the_other_without_a_pause(
    committed: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(broker, "Life", lambda **_: SimpleNamespace(begin=lambda: None))
    listening = broker.ListeningBroker(list_key=f"test-{next(_numbers)}")
    with public_scope():
        assert [package for package in listening.dequeue() if package[0]] == []  # its connection is new
        waiting = [listening.enqueue("a task") for _ in range(4)]

        began = time.monotonic()
        taken = [number for _ in waiting for number, _ in listening.dequeue() if number]

        assert sorted(taken) == waiting
        assert time.monotonic() - began < broker.LOOK_SECONDS
        OrmQ.objects.filter(pk__in=waiting).delete()
    assert listening._own is not None
    listening._own.close()


def test_a_claim_among_a_thousand_tickets_reads_few_of_them(alice: Person, charlie: Person) -> None:
    for person, first in ((alice, 1), (charlie, 1001)):
        with public_scope():
            Turn.objects.get_or_create(organization=person.org)
            Ticket.objects.bulk_create(
                Ticket(
                    organization=person.org,
                    session_id=first + number % 100,
                    run_id=f"run_{first}_{number}",
                    model="mock",
                )
                for number in range(500)
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE public.queue_ticket, public.queue_turn")
        parameters = {"owner": "x", "lease": 10, "full_models": [], "fingerprint": alice.org.migrated_to}
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT TEXT) {claims._CLAIM}", parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Seq Scan on queue_ticket" not in plan, plan
    assert "queue_ticket_order" in plan or "queue_ticket_lane" in plan, plan


def test_a_worker_survives_the_loss_of_its_connection(
    alice: Person, start_run: Start, work: Callable[[], int], add_tool: Callable[..., Any]
) -> None:
    from tests.runs.test_effects import assert_whole
    from tests.runs.test_engine import calls

    cut: list[int] = []

    def look(context: Any) -> dict[str, Any]:
        """Look, while an administrator ends the worker's connection."""
        if not cut:
            cut.append(pids[0])
            with psycopg.connect(**own_connection_parameters(), autocommit=True) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s)", [pids[0]])
        return {}

    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls("look"), {"text": "Still here."}])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pids = [cursor.fetchone()[0]]

    assert work() == 2

    assert reload(alice, run).output == "Still here."
    assert_whole(alice, run)


def test_tickets_hold_what_their_run_began_with(alice: Person, start_run: Start) -> None:
    run = start_run(alice)

    ticket = ticket_of(run)

    assert ticket is not None
    assert (ticket.organization_id, ticket.session_id, ticket.model) == (
        alice.org.pk,
        run.session_id,
        run.config["model"]["model"],
    )
    assert log.CHANNEL != tickets.WORK
