"""What the schedule does to memories by the day: removes what was forgotten long ago, looks for what could be tidied up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Schedule

from memory import forgetting
from memory.models import Memory, Passage
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope, public_scope
from runs.queue import schedules
from tests.conftest import Person


def forgotten(person: Person, text: str, *, days: int) -> Memory:
    with org_scope(person.org):
        memory = remember(owner=Owner.of_user(person.user), tier="core", text=text, origin=Origin())
        forgetting.forget([memory], at=timezone.now() - timedelta(days=days))
    return memory


def test_what_was_forgotten_more_than_30_days_ago_is_removed_in_batches(
    alice: Person, charlie: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "_BATCH", 2)
    old = [forgotten(alice, f"fact number {number}", days=31) for number in range(5)]
    young = forgotten(alice, "of last week", days=29)
    rivals = forgotten(charlie, "of rival", days=31)

    forgetting.purge_all()

    with org_scope(alice.org):
        assert Memory.objects.filter(pk__in=[memory.pk for memory in old]).count() == 0
        assert Passage.objects.filter(memory__in=old).count() == 0
        assert Memory.objects.filter(pk=young.pk).exists()
    with org_scope(charlie.org):
        assert not Memory.objects.filter(pk=rivals.pk).exists()
    assert AuditEntry.objects.filter(action="memory.purge", organization=alice.org).latest("pk").details == {
        "memories": 5
    }


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("forgotten memories", "memory.forgetting.purge_all"),
        ("consolidation", "memory.consolidation.passes.propose_all"),
    ],
)
def test_both_are_in_the_daily_schedule(committed: Any, name: str, function: str) -> None:
    with public_scope():
        schedules.ensure()

        daily = Schedule.objects.get(name=name)

    assert (daily.func, daily.schedule_type) == (function, Schedule.DAILY)
