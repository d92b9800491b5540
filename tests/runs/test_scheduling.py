"""A due time starts one run, whoever looks at the clock and however often; and when a due time is, whatever the clocks do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from django_q.models import Schedule as Tick
from django_q.scheduler import scheduler

from openintern.errors import OpenInternError
from openintern.tenancy import people
from openintern.tenancy.models import AuditEntry, Membership, Organization, User
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope, public_scope
from runs.models import Firing, Run, Schedule
from runs.scheduling import cron, firing, keeping
from tests.conftest import Person, admit
from tests.runs.conftest import Crash

MINUTE = timedelta(minutes=1)
MOCK = {"provider": "mock"}


@pytest.fixture(autouse=True)
def no_schedule(alice: Person) -> Iterator[None]:
    """Nothing of an earlier test is due, and nothing of this one stays."""
    clear(alice)
    yield
    clear(alice)


def clear(person: Person) -> None:
    with org_scope(person.org):
        Schedule.objects.all().delete()


def schedule(person: Person, *, due: timedelta = timedelta(), **told: Any) -> Schedule:
    """A schedule of a person's that is due since the minute began."""
    told = {"name": "news", "input": "what is new?", "cron": "* * * * *", "llm_config": MOCK, **told}
    with org_scope(person.org):
        made = keeping.create(person.scope, told, at=timezone.now())
        Schedule.objects.filter(pk=made.pk).update(next_at=timezone.now().replace(second=0, microsecond=0) + due)
        made.refresh_from_db()
    return made


def fire(person: Person, one: Schedule, *, at: datetime | None = None) -> Firing | None:
    with org_scope(person.org):
        return firing.fire(person.org, one.pk, at=at or one.next_at + MINUTE / 2)


def firings(person: Person, one: Schedule) -> list[Firing]:
    with org_scope(person.org):
        return list(Firing.objects.filter(schedule=one).order_by("due_at"))


def runs_of(person: Person, one: Schedule) -> list[Run]:
    with org_scope(person.org):
        return list(Run.objects.filter(session__key=one.session_key).select_related("session", "user"))


def reloaded(person: Person, one: Schedule) -> Schedule:
    with org_scope(person.org):
        return Schedule.objects.get(pk=one.pk)


def test_a_due_time_starts_a_run_in_its_persons_name(bob: Person, work: Callable[[], int]) -> None:
    one = schedule(bob)

    fired = fire(bob, one)

    [run] = runs_of(bob, one)
    assert fired is not None
    assert (fired.outcome, fired.run_id, fired.missed) == ("started", run.pk, 0)
    assert (run.user, run.input, run.project) == (bob.user, "what is new?", None)
    assert reloaded(bob, one).next_at == one.next_at + MINUTE
    assert AuditEntry.objects.get(action="run.create", object_id=run.pk).via == "schedule"
    work()
    assert runs_of(bob, one)[0].status == Run.Status.COMPLETED


def test_what_is_not_due_does_not_fire(alice: Person) -> None:
    one = schedule(alice)

    assert fire(alice, one, at=one.next_at - MINUTE) is None
    assert runs_of(alice, one) == []


def test_two_schedulers_fire_a_due_time_once(alice: Person) -> None:
    one = schedule(alice)
    ready, outcomes = threading.Barrier(4), []

    def look() -> None:
        try:
            ready.wait(10)
            outcomes.append(fire(alice, one))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert len(outcomes) == 4
    assert (
        len([outcome for outcome in outcomes if outcome]) == len(firings(alice, one)) == len(runs_of(alice, one)) == 1
    )


@pytest.mark.parametrize("where", ["_move_on", "_start", "_forget_old"])
def test_a_crash_leaves_nothing_and_the_next_look_fires_once(
    alice: Person, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = schedule(alice)

    def dies(*_args: Any, **_kwargs: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(firing, where, dies)
        with pytest.raises(Crash):
            fire(alice, one)
    assert (firings(alice, one), runs_of(alice, one)) == ([], [])
    fire(alice, one)
    fire(alice, one)

    assert len(firings(alice, one)) == len(runs_of(alice, one)) == 1


def test_what_was_missed_is_made_up_for_by_one_firing_that_says_so(alice: Person) -> None:
    one = schedule(alice, due=-7 * MINUTE)
    late = one.next_at + 7 * MINUTE + MINUTE / 2

    fired = fire(alice, one, at=late)
    again = fire(alice, one, at=late)

    assert fired is not None
    assert (fired.due_at, fired.missed) == (one.next_at, 7)
    assert again is None
    assert len(runs_of(alice, one)) == 1


def test_a_run_that_is_still_going_is_not_overtaken(alice: Person) -> None:
    one = schedule(alice)
    fire(alice, one)

    second = fire(alice, one, at=one.next_at + 2 * MINUTE)

    assert second is not None
    assert (second.outcome, second.run_id) == ("skipped", "")
    assert len(runs_of(alice, one)) == 1


def test_a_paused_schedule_rests_and_does_not_make_up_for_it(alice: Person) -> None:
    one = schedule(alice)
    with org_scope(alice.org):
        keeping.pause(alice.scope, one.pk)

    assert fire(alice, one) is None
    with org_scope(alice.org):
        on = keeping.go_on(alice.scope, one.pk, at=timezone.now())
    assert on.next_at > timezone.now()
    assert runs_of(alice, one) == []


@pytest.mark.parametrize("loss", ["leaves", "viewer", "deactivated", "out of the project"])
def test_who_may_start_no_runs_any_more_starts_none(alice: Person, loss: str) -> None:
    name = f"dora_{loss.replace(' ', '_')}"
    dora = admit(name, alice.org, Role.MEMBER)
    membership = Membership.objects.get(user=dora.user)
    project = people.create_project(f"p-{name[:8]}-{len(loss)}", org=alice.org)
    membership.projects.add(project)
    one = schedule(dora)
    with org_scope(alice.org):
        Schedule.objects.filter(pk=one.pk).update(project=project)

    match loss:
        case "leaves":
            membership.delete()
        case "viewer":
            Membership.objects.filter(pk=membership.pk).update(role=Role.VIEWER)
        case "deactivated":
            User.objects.filter(pk=dora.user.pk).update(is_active=False)
        case _:
            membership.projects.remove(project)

    assert fire(alice, one) is None
    assert reloaded(alice, one).paused == Schedule.Paused.NO_RIGHTS
    assert runs_of(alice, one) == []
    entry = AuditEntry.objects.get(action="schedule.pause", object_id=one.pk)
    assert (entry.actor, entry.details) == (dora.user, {"reason": "no_rights"})


def test_what_cannot_start_is_said_and_the_next_time_comes(alice: Person) -> None:
    one = schedule(alice)
    with org_scope(alice.org):
        Schedule.objects.filter(pk=one.pk).update(role_id="role_gone")

    fired = fire(alice, one)

    assert fired is not None
    assert (fired.outcome, fired.problem["code"]) == ("refused", "NOT_FOUND")
    assert reloaded(alice, one).next_at == one.next_at + MINUTE


def test_too_many_tasks_make_it_wait_for_the_next_look(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    one = schedule(alice)

    monkeypatch.setattr(alice.org, "max_runs_per_minute", 0)
    with org_scope(alice.org):
        assert firing.fire_due(alice.org, at=timezone.now()) == 0
    monkeypatch.undo()

    assert firings(alice, one) == []
    assert fire(alice, one) is not None


def test_the_clock_of_every_minute_fires_what_is_due_wherever_it_is(alice: Person, charlie: Person) -> None:
    clear(charlie)
    ours, theirs = schedule(alice), schedule(charlie)
    with public_scope():
        tick = Tick.objects.get(name="scheduled runs")

    assert (tick.func, tick.schedule_type, tick.minutes) == ("runs.scheduling.firing.fire_all", Tick.MINUTES, 1)
    firing.fire_all()

    assert len(firings(alice, ours)) == len(firings(charlie, theirs)) == 1
    assert runs_of(charlie, theirs)[0].user == charlie.user
    clear(charlie)


def test_the_clocks_own_task_is_given_once_after_a_long_sleep(alice: Person) -> None:
    with public_scope():
        Tick.objects.filter(name="scheduled runs").update(next_run=timezone.now() - timedelta(days=1))
        scheduler()
        assert Tick.objects.get(name="scheduled runs").next_run > timezone.now()


def test_old_firings_go(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "KEPT", 3)
    one = schedule(alice)
    with org_scope(alice.org):
        for number in range(5):
            due_at = timezone.now() - timedelta(days=number + 1)
            Firing.objects.create(schedule=one, due_at=due_at, outcome="skipped")

    fire(alice, one)

    assert len(firings(alice, one)) == 3
    assert firings(alice, one)[-1].outcome == "started"


def times(expression: str, zone: str, after: str, count: int = 4) -> list[str]:
    start = datetime.fromisoformat(after).replace(tzinfo=UTC)
    return [f"{at:%m-%d %H:%M}" for at in islice(cron.due_times(expression, zone, after=start), count)]


def test_a_day_without_that_hour_is_due_right_after_it() -> None:
    found = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00", 3)

    assert found == ["03-28 01:30", "03-29 01:00", "03-30 00:30"]  # in UTC: 02:30, then 03:00 by clocks that went ahead


def test_a_day_that_has_an_hour_twice_is_due_once() -> None:
    found = times("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00", 3)

    assert found == ["10-24 00:30", "10-25 00:30", "10-26 01:30"]


def test_every_half_hour_goes_on_while_the_clocks_change() -> None:
    assert times("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00", 4) == [
        "10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"
    ]  # fmt: skip
    assert times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30", 2) == ["03-29 01:00", "03-29 01:30"]


def test_a_zone_without_summer_time_keeps_its_hour() -> None:
    assert times("0 8 * * *", "Asia/Shanghai", "2026-03-28T00:30", 2) == ["03-29 00:00", "03-30 00:00"]


def test_the_organisations_zone_holds_where_there_is_no_other(alice: Person) -> None:
    plain, own = schedule(alice, cron="0 8 * * *"), schedule(alice, cron="0 8 * * *", time_zone="America/New_York")
    before = reloaded(alice, own).next_at
    try:
        with org_scope(alice.org):
            keeping.set_zone(alice.scope, "Asia/Shanghai", at=timezone.now())
        assert reloaded(alice, plain).next_at.astimezone(UTC).hour == 0
        assert reloaded(alice, own).next_at == before
    finally:
        with org_scope(alice.org):
            keeping.set_zone(alice.scope, "UTC", at=timezone.now())
    assert Organization.objects.get(pk=alice.org.pk).time_zone == "UTC"


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": "99 * * * *"}, "cron"),
        ({"cron": "0 0 31 2 *"}, "cron"),
        ({"cron": "soon"}, "cron"),
        ({"cron": "0 0 30 2 */2"}, "cron"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"input": "  "}, "input"),
        ({"name": ""}, "name"),
        ({"session_key": "mine"}, "session_key"),
        ({"paused": "no"}, "paused"),
        ({"cron": 5}, "cron"),
        ({"name": "a\0b"}, "name"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_field(alice: Person, told: dict[str, Any], field: str) -> None:
    with pytest.raises(OpenInternError) as refused:
        schedule(alice, **told)

    assert refused.value.details == {"field": field}


def test_nobody_writes_what_runs_in_somebody_elses_name(alice: Person, bob: Person, charlie: Person) -> None:
    one = schedule(bob)

    with org_scope(alice.org):
        with pytest.raises(OpenInternError, match="somebody else's name"):
            keeping.change(alice.scope, one.pk, {"input": "tell me what Bob knows"}, at=timezone.now())
        keeping.pause(alice.scope, one.pk)
    with org_scope(charlie.org), pytest.raises(OpenInternError, match="not found"):
        keeping.find(charlie.scope, one.pk)
