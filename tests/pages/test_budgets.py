"""The budgets page: everybody sees what binds their runs, admins set it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from openintern.tenancy import people
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs.models import Budget, LedgerEntry
from tests.conftest import Person


def allow(person: Person, **fields: object) -> Budget:
    with org_scope(person.org):
        return Budget.objects.create(**fields)


def budgets(person: Person) -> list[Budget]:
    with org_scope(person.org):
        return list(Budget.objects.select_related("project", "user").order_by("pk"))


def shown(person: Person) -> str:
    answer = person.signed_in().get("/budgets")
    assert answer.status_code == 200
    return answer.content.decode()


def test_what_was_spent_and_reserved_stands_beside_the_limit(alice: Person) -> None:
    allow(alice, limit_usd=Decimal("12.5"), limit_tokens=1000, period="month")
    booking = {"user": alice.user, "run_id": "run_x", "at": timezone.now()}
    with org_scope(alice.org):
        LedgerEntry.objects.create(kind="settle", amount=Decimal("2.25"), tokens=300, **booking)
        LedgerEntry.objects.create(kind="reserve", amount=Decimal("0.5"), tokens=50, **booking)

    page = shown(alice)

    assert "<b>$2.75</b> of $12.50" in page
    assert "$0.5000 reserved" in page
    assert '<progress max="12.500000" value="2.750000"' in page
    assert "<b>350</b> of 1,000 tokens" in page
    assert "used up" not in page


@pytest.mark.parametrize("fields", [{"limit_usd": 0}, {"limit_tokens": 0}])
def test_a_limit_of_nothing_is_used_up(alice: Person, fields: dict[str, int]) -> None:
    allow(alice, period="day", **fields)

    assert "used up" in shown(alice)


def test_an_admin_sets_changes_and_lifts_a_budget(alice: Person, bob: Person) -> None:
    client = alice.signed_in()

    client.post("/budgets", {"owner": "user:bob", "period": "day", "limit_usd": "1.50"})
    client.post("/budgets", {"owner": "user:bob", "period": "day", "limit_usd": "", "limit_tokens": "5000"})
    [budget] = budgets(alice)
    assert (budget.user, budget.limit_usd, budget.limit_tokens) == (bob.user, None, 5000)
    client.post(f"/budgets/{budget.pk}/remove")

    assert budgets(alice) == []
    audited = AuditEntry.objects.filter(organization=alice.org, action__startswith="budget.").order_by("id")
    assert [entry.action for entry in audited] == ["budget.set", "budget.set", "budget.remove"]


def test_a_project_of_ones_own_can_be_limited(alice: Person) -> None:
    project = people.create_project("garden", org=alice.org, by=alice.user)

    alice.signed_in().post("/budgets", {"owner": "project:garden", "period": "total", "limit_tokens": "7"})

    assert [budget.project for budget in budgets(alice)] == [project]


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": "user:charlie", "limit_usd": "1"},
        {"owner": "project:nothing", "limit_usd": "1"},
        {"owner": "organization"},
        {"owner": "organization", "limit_usd": "-1"},
        {"owner": "organization", "limit_usd": "NaN"},
        {"owner": "organization", "limit_tokens": "1e3"},
        {"owner": "organization", "limit_tokens": str(2**63)},
        {"owner": "organization", "limit_usd": "1", "period": "year"},
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(alice: Person, charlie: Person, wrong: dict[str, str]) -> None:
    answer = alice.signed_in().post("/budgets", {"period": "day", **wrong})

    assert answer.status_code == 400
    assert b'role="alert"' in answer.content or b'class="errors"' in answer.content
    assert budgets(alice) == []


def test_a_member_sees_what_binds_their_runs_and_sets_nothing(alice: Person, bob: Person) -> None:
    of_all, of_alice = allow(alice, limit_usd=3, period="day"), allow(alice, kind="user", user=alice.user, limit_usd=4)
    client = bob.signed_in()

    page = shown(bob)

    assert "of $3.00" in page
    assert "of $4.00" not in page
    assert '<form class="form"' not in page
    assert client.post("/budgets", {"owner": "organization", "period": "day", "limit_usd": "9"}).status_code == 403
    assert client.post(f"/budgets/{of_all.pk}/remove").status_code == 403
    assert budgets(alice) == [of_all, of_alice]


def test_acmes_budgets_are_not_charlies_to_lift(alice: Person, charlie: Person) -> None:
    budget = allow(alice, limit_usd=3)

    assert charlie.signed_in().post(f"/budgets/{budget.pk}/remove").status_code == 404
    assert budgets(alice) == [budget]
