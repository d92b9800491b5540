"""What is older than an organisation wants to keep goes, whole, and nothing else does."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from openintern.tenancy.models import AuditEntry, Organization
from openintern.tenancy.scope import org_scope, public_scope
from runs import retention
from runs.models import Event, LedgerEntry, Run, Session
from runs.queue import schedules
from tests.conftest import Person, events_of

Start = Callable[..., Run]
Work = Callable[[], int]


@pytest.fixture(autouse=True)
def thirty_days(alice: Person, charlie: Person) -> Iterator[None]:
    """Acme keeps runs for thirty days, rival for ever."""
    keep(alice, 30)
    yield
    keep(alice, None)
    keep(charlie, None)


def keep(person: Person, days: int | None) -> None:
    Organization.objects.filter(pk=person.org.pk).update(retention_days=days)
    person.org.retention_days = days


@pytest.fixture
def ended(start_run: Start, work: Work) -> Callable[..., Run]:
    """A run that ended so many days ago."""

    def end(person: Person, *, days: float, **options: Any) -> Run:
        run = start_run(person, **options)
        work()
        at = timezone.now() - timedelta(days=days)
        with org_scope(person.org):
            Run.objects.filter(pk=run.pk).update(ended_at=at)
            Session.objects.filter(pk=run.session_id).update(active_at=at)
        return run

    return end


def there(person: Person, *runs: Run) -> list[bool]:
    with org_scope(person.org):
        found = set(Run.objects.filter(pk__in=[run.pk for run in runs]).values_list("pk", flat=True))
    return [run.pk in found for run in runs]


def prune(*arguments: str) -> str:
    out = io.StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue()


def test_old_runs_go_with_all_that_is_theirs(alice: Person, start_run: Start, ended: Callable[..., Run]) -> None:
    prune("--org", "acme")  # what other tests have left
    old, young = ended(alice, days=31), ended(alice, days=29)
    unfinished = start_run(alice)
    with org_scope(alice.org):
        Run.objects.filter(pk=unfinished.pk).update(created_at=timezone.now() - timedelta(days=400))

    told = prune("--org", "acme")

    assert there(alice, old, young, unfinished) == [False, True, True]
    assert events_of(alice, old) == []
    assert len(events_of(alice, young)) == 5
    assert told == "acme: 1 runs with 5 events removed (older than 30 days)\n"
    with org_scope(alice.org):
        assert not Session.objects.filter(pk=old.session_id).exists()
        assert Session.objects.filter(pk=young.session_id).exists()
        assert LedgerEntry.objects.filter(run_id=old.pk).exists()
    entry = AuditEntry.objects.filter(action="run.prune").latest("pk")
    assert (entry.organization_id, entry.details["runs"], entry.details["events"]) == (alice.org.pk, 1, 5)


def test_an_organisation_without_a_retention_keeps_everything(
    alice: Person, charlie: Person, ended: Callable[..., Run]
) -> None:
    acmes, rivals = ended(alice, days=1000), ended(charlie, days=1000)

    retention.prune_all()

    assert there(alice, acmes) == [False]
    assert there(charlie, rivals) == [True]
    assert prune("--org", "rival") == "rival: keeps its runs for ever\n"
    assert there(charlie, rivals) == [True]


def test_a_dry_run_only_counts(alice: Person, ended: Callable[..., Run]) -> None:
    prune("--org", "acme")  # what other tests have left
    old = ended(alice, days=31)

    told = prune("--org", "acme", "--dry-run")

    assert "acme: 1 runs with 5 events would be removed" in told
    assert there(alice, old) == [True]


def test_an_export_is_whole_before_anything_goes(alice: Person, ended: Callable[..., Run], tmp_path: Path) -> None:
    old = ended(alice, days=31)

    prune("--org", "acme", "--export", str(tmp_path))

    file = tmp_path / "acme" / f"{old.pk}.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[-1]["type"] == "run.completed"
    assert file.stat().st_mode & 0o077 == 0
    assert not list(file.parent.glob(".*"))
    assert there(alice, old) == [False]


def test_what_cannot_be_exported_stays(alice: Person, ended: Callable[..., Run], tmp_path: Path) -> None:
    old = ended(alice, days=31)
    (tmp_path / "acme").write_text("in the way")

    with pytest.raises(CommandError, match="Can't write"):
        prune("--org", "acme", "--export", str(tmp_path))

    assert there(alice, old) == [True]
    prune("--org", "acme")


def names_in(place: Path) -> list[str]:
    return [path.name for path in place.rglob("*") if path.is_file()]


def test_a_full_disk_is_told_and_holds_no_half_export(
    alice: Person, ended: Callable[..., Run], small_disk: Path
) -> None:
    old = ended(alice, days=31)
    (small_disk / "in the way").write_bytes(b"x" * (2 * 1024 * 1024 - 8192))
    with org_scope(alice.org):
        Event.objects.filter(run_id=old.pk, seq=1).update(payload={"text": "y" * 100_000})

    with pytest.raises(CommandError, match="No space left"):
        prune("--org", "acme", "--export", str(small_disk))

    assert there(alice, old) == [True]
    assert names_in(small_disk) == ["in the way"]
    with pytest.raises(CommandError, match="No space left"):
        call_command("export", old.pk, "--org", "acme", "--user", "alice", "-o", str(small_disk / "run.jsonl"))
    assert names_in(small_disk) == ["in the way"]
    (small_disk / "in the way").unlink()
    prune("--org", "acme", "--export", str(small_disk))
    assert (small_disk / "acme" / f"{old.pk}.jsonl").read_text().count("\n") == 5
    assert there(alice, old) == [False]


def test_a_batch_is_bounded(alice: Person, ended: Callable[..., Run]) -> None:
    runs = [ended(alice, days=31) for _ in range(5)]

    with CaptureQueriesContext(connection) as queries:
        gone = retention.prune(alice.org, at=timezone.now(), batch=2)

    deletes = [query["sql"] for query in queries if query["sql"].startswith('DELETE FROM "runs_run"')]
    assert gone == retention.Pruned(5, 25)
    assert [sql.count("run_") for sql in deletes] == [2, 2, 1]
    assert there(alice, *runs) == [False] * 5


def test_a_run_goes_after_those_that_came_from_it(alice: Person, ended: Callable[..., Run]) -> None:
    parent, child, lasting, young = (ended(alice, days=days) for days in (40, 35, 40, 1))
    with org_scope(alice.org):
        Run.objects.filter(pk=child.pk).update(parent=parent)
        Run.objects.filter(pk=young.pk).update(parent=lasting)

    retention.prune(alice.org, at=timezone.now(), batch=1)

    assert there(alice, parent, child, lasting, young) == [False, False, True, True]
    with org_scope(alice.org):
        Run.objects.filter(pk=young.pk).update(parent=None)
    retention.prune(alice.org, at=timezone.now())


def test_one_organisation_that_fails_does_not_keep_the_others(
    alice: Person, charlie: Person, ended: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(charlie, 30)
    theirs = ended(charlie, days=31)
    whole = retention.prune

    def breaks_for_acme(org: Organization, **options: Any) -> retention.Pruned:
        if org.slug == "acme":
            raise RuntimeError("a bug")
        return whole(org, **options)

    monkeypatch.setattr(retention, "prune", breaks_for_acme)

    retention.prune_all()

    assert there(charlie, theirs) == [False]


def test_the_daily_schedule_is_there_after_a_migration_and_stays_as_it_was_set(committed: Any) -> None:
    with public_scope():
        daily = Schedule.objects.get(name="retention")
        Schedule.objects.filter(pk=daily.pk).update(minutes=7)

        schedules.ensure()

        again = Schedule.objects.get(name="retention")
    assert (daily.func, daily.schedule_type) == ("runs.retention.prune_all", Schedule.DAILY)
    assert daily.next_run > timezone.now()
    assert again.minutes == 7


def test_when_the_schedule_is_due_the_workers_are_given_the_task(committed: Any) -> None:
    with public_scope():
        Schedule.objects.filter(name="retention").update(next_run=timezone.now() - timedelta(minutes=1))

        scheduler()

        tasks = [queued.task for queued in OrmQ.objects.all()]
        OrmQ.objects.all().delete()
        next_run = Schedule.objects.get(name="retention").next_run
    assert "runs.retention.prune_all" in [task["func"] for task in tasks]
    assert next_run > timezone.now() + timedelta(hours=23)


def test_nothing_is_kept_for_less_than_a_day(alice: Person) -> None:
    field = Organization._meta.get_field("retention_days")

    with pytest.raises(Exception, match="greater than or equal to 1"):
        field.clean(0, alice.org)


def test_events_are_gone_from_the_table(alice: Person, ended: Callable[..., Run]) -> None:
    old = ended(alice, days=31)

    retention.prune(alice.org, at=timezone.now())

    with org_scope(alice.org):
        assert not Event.objects.filter(run_id=old.pk).exists()
