"""What may be spent is held back before it is spent, whatever happens in between, and a sum of rows is the balance."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from openintern.tenancy import people
from openintern.tenancy.models import AuditEntry, Project
from openintern.tenancy.scope import org_scope
from runs import budgets, lifecycle
from runs.budgets import OverBudget
from runs.engine import model_call, transactions
from runs.engine.recall import Recollection
from runs.llm import estimate as estimates
from runs.llm.estimate import Estimate
from runs.llm.types import ModelSpec, Request, Usage
from runs.log import StaleAttempt
from runs.models import Budget, LedgerEntry, Run
from runs.queue.pulse import Pulse
from runs.queue.worker import work_once
from runs.tools.registry import ToolContext
from tests.conftest import Cast, Person, events_of, reload
from tests.runs.conftest import expire_leases
from tests.runs.test_engine import calls, of_type

Start = Callable[..., Run]
Work = Callable[[], int]
ASKED = Request(ModelSpec("mock", "mock"), [{"role": "user", "content": "a task"}], [])
NOON = datetime(2026, 5, 17, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clean_books(alice: Person, charlie: Person) -> Iterator[None]:
    clear(alice, charlie)
    yield
    clear(alice, charlie)


def clear(*people_of: Person) -> None:
    for person in people_of:
        with org_scope(person.org):
            Budget.objects.all().delete()
            LedgerEntry.objects.all().delete()


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Say what every call may cost at most."""

    def say(usd: str, tokens: int = 10) -> None:
        monkeypatch.setattr(budgets, "estimate", lambda request: Estimate(tokens, Decimal(usd)))

    return say


def allow(person: Person, **fields: Any) -> Budget:
    with org_scope(person.org):
        return Budget.objects.create(**fields)


def running(person: Person, start_run: Start, **options: Any) -> Run:
    run = start_run(person, **options)
    with org_scope(person.org):
        Run.objects.filter(pk=run.pk).update(status="running", attempt=1, started_at=timezone.now())
    return reload(person, run)


def rows_of(person: Person, run: Run) -> list[tuple[str, int]]:
    with org_scope(person.org):
        return list(LedgerEntry.objects.filter(run=run).order_by("pk").values_list("kind", "tokens"))


def reserved_in(person: Person, run: Run) -> list[str | None]:
    """For each reservation: `step.completed` if that was written in the same transaction, else None."""
    with org_scope(person.org), connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT type FROM runs_event WHERE runs_event.xmin = ledger.xmin AND type = 'step.completed')"
            " FROM runs_ledgerentry AS ledger WHERE run_id = %s AND kind = 'reserve' ORDER BY id",
            [run.pk],
        )
        return [kind for (kind,) in cursor.fetchall()]


def booked(person: Person, budget: Budget) -> budgets.Balance:
    with org_scope(person.org):
        return budgets.balance(budget, at=timezone.now())


def look(context: ToolContext) -> dict[str, Any]:
    """Look around."""
    return {"seen": "a tree"}


def test_without_a_budget_nothing_is_reserved_but_what_was_spent_is_booked(
    alice: Person, start_run: Start, work: Work
) -> None:
    run = start_run(alice)

    work()

    assert rows_of(alice, run) == [("settle", 70)]


def test_with_a_budget_each_call_is_reserved_settled_and_released(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    add_tool(look, recovery="pure")
    budget = allow(alice, limit_tokens=1_000_000)
    run = start_run(alice, steps=[calls("look") | {"usage": [100, 5]}, {"text": "A tree.", "usage": [200, 7]}])

    work()

    kinds = [kind for kind, _ in rows_of(alice, run)]
    ended = reload(alice, run)
    assert kinds == ["reserve", "settle", "release"] * 2
    assert booked(alice, budget).tokens == ended.prompt_tokens + ended.completion_tokens == 312
    assert booked(alice, budget).reserved_tokens == 0


def test_what_the_next_call_may_cost_is_held_with_the_end_of_the_step_before_it(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    add_tool(look, recovery="pure")
    allow(alice, limit_tokens=1_000_000)
    run = start_run(alice, steps=[calls("look"), calls("look"), {"text": "A tree."}])

    work()

    [first, second, third] = reserved_in(alice, run)
    assert first is None  # the first call has no step before it
    assert [second, third] == ["step.completed", "step.completed"]


def test_more_is_held_where_more_is_asked_than_was_foreseen(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_tool(look, recovery="pure")
    budget = allow(alice, limit_tokens=1_000_000)
    reminder = Recollection(
        "a tree?", ({"id": str(uuid.uuid4()), "type": "core", "text": "wood " * 6_000, "trust": "person"},)
    )
    monkeypatch.setattr(model_call, "most_recalled", lambda: {"role": "user", "content": ""})
    monkeypatch.setattr(model_call, "recall", lambda *_, **__: reminder)
    run = start_run(alice, steps=[calls("look"), {"text": "A tree."}])

    work()

    _, foreseen, enough = [tokens for kind, tokens in rows_of(alice, run) if kind == "reserve"]
    assert reload(alice, run).status == "completed"
    assert enough > foreseen + 9_000
    assert booked(alice, budget).reserved_tokens == 0


def test_nothing_is_held_for_a_run_that_was_handed_back(
    alice: Person, start_run: Start, add_tool: Callable[..., Any]
) -> None:
    budget = allow(alice, limit_tokens=1_000_000)
    asked_to_end = threading.Event()

    def look_and_end(context: ToolContext) -> dict[str, Any]:
        """Look, and be the last one."""
        asked_to_end.set()
        return {"seen": "a tree"}

    add_tool(look_and_end, recovery="pure")
    run = start_run(alice, steps=[calls("look_and_end"), {"text": "A tree."}])

    work_once(Pulse(owner="ends", shutdown=asked_to_end))  # type: ignore[arg-type]

    assert reload(alice, run).step == 2
    assert booked(alice, budget).reserved_tokens == 0


def test_a_run_over_budget_fails_and_says_which(alice: Person, start_run: Start, work: Work) -> None:
    allow(alice, limit_tokens=100, period="month")
    run = start_run(alice)

    work()

    ended = reload(alice, run)
    assert ended.status == "failed"
    assert ended.error["code"] == "BUDGET_EXCEEDED"
    assert "monthly budget of the organisation has 0 of 100 tokens" in ended.error["message"]
    assert ended.error["details"]["budget"] == {
        "kind": "organization",
        "project_id": None,
        "user_id": None,
        "period": "month",
    }
    assert not of_type(events_of(alice, run), "llm.called")
    assert rows_of(alice, run) == []


def test_what_was_spent_before_counts(alice: Person, start_run: Start, work: Work, costs: Callable[..., None]) -> None:
    costs("0", 100)
    start_run(alice)
    work()
    allow(alice, limit_tokens=169)
    late = start_run(alice)

    work()

    assert reload(alice, late).error["code"] == "BUDGET_EXCEEDED"


@pytest.mark.parametrize("kind", ["project", "user"])
def test_a_budget_binds_only_whom_it_names(alice: Person, bob: Person, start_run: Start, work: Work, kind: str) -> None:
    project = Project.objects.filter(organization=alice.org, slug="thrift").first() or people.create_project(
        "thrift", org=alice.org
    )
    allow(alice, kind=kind, limit_tokens=1, **{kind: project if kind == "project" else bob.user})
    hers, his = start_run(alice), start_run(bob)
    with org_scope(bob.org):
        Run.objects.filter(pk=his.pk).update(project=project)

    work()

    assert reload(alice, hers).status == "completed"
    assert reload(bob, his).error["details"]["budget"]["kind"] == kind


def test_concurrent_reservations_never_pass_the_limit(
    alice: Person, start_run: Start, costs: Callable[..., None]
) -> None:
    costs("0.30")
    budget = allow(alice, limit_usd=Decimal("2.00"))
    runs = [running(alice, start_run) for _ in range(12)]
    gate, outcomes = threading.Barrier(len(runs)), []

    def spend(run: Run) -> None:
        try:
            with org_scope(alice.org):
                gate.wait(10)
                budgets.reserve(run, ASKED, at=timezone.now())
                outcomes.append("held")
        except OverBudget:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=spend, args=[run]) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == ["held"] * 6 + ["refused"] * 6
    assert booked(alice, budget).usd == Decimal("1.80")


def test_a_crash_between_reservation_and_answer_is_given_back_by_the_next_attempt(
    alice: Person, start_run: Start, work: Work, crash_in: Callable[..., None]
) -> None:
    budget = allow(alice, limit_tokens=1_000_000)
    run = start_run(alice)
    crash_in(transactions, "finish")
    held = booked(alice, budget).reserved_tokens

    work()

    assert held > 70
    assert [kind for kind, _ in rows_of(alice, run)] == ["reserve", "release", "reserve", "settle", "release"]
    assert (booked(alice, budget).tokens, booked(alice, budget).reserved_tokens) == (70, 0)


def test_a_budget_with_room_for_one_call_survives_a_crash(
    alice: Person, start_run: Start, work: Work, crash_in: Callable[..., None], costs: Callable[..., None]
) -> None:
    costs("0", 100)
    allow(alice, limit_tokens=100)
    run = start_run(alice)
    crash_in(transactions, "finish")

    work()

    assert reload(alice, run).status == "completed"


@pytest.mark.parametrize("end", ["cancel", "model error"])
def test_a_run_that_ends_without_an_answer_holds_nothing(
    alice: Person, start_run: Start, work: Work, crash_in: Callable[..., None], end: str
) -> None:
    budget = allow(alice, limit_tokens=1_000_000)
    if end == "cancel":
        run = start_run(alice)
        crash_in(transactions, "finish")
        with org_scope(alice.org):
            lifecycle.cancel_run(alice.scope, run.pk, at=timezone.now())
        expire_leases()
    else:
        run = start_run(alice, steps=[{"error": "LLM_AUTH"}])
    work()

    assert reload(alice, run).is_final
    assert [kind for kind, _ in rows_of(alice, run)] == ["reserve", "release"]
    assert booked(alice, budget).tokens == 0


def test_a_worker_that_lost_its_run_reserves_nothing(alice: Person, start_run: Start) -> None:
    allow(alice, limit_tokens=1_000_000)
    run = running(alice, start_run)
    with org_scope(alice.org):
        Run.objects.filter(pk=run.pk).update(attempt=2)

        with pytest.raises(StaleAttempt):
            budgets.reserve(run, ASKED, at=timezone.now())

    assert rows_of(alice, run) == []


def test_a_call_that_goes_on_past_midnight_is_booked_on_one_day(alice: Person, start_run: Start) -> None:
    budget = allow(alice, period="day", limit_tokens=1_000_000)
    run = running(alice, start_run)
    late, early = NOON.replace(hour=23, minute=59), NOON + timedelta(hours=13)

    with org_scope(alice.org):
        held = budgets.reserve(run, ASKED, at=late)
        budgets.settle(run, Usage(40, 2, Decimal("0.5")), held=held, at=early)

        assert budgets.balance(budget, at=late).tokens == 42
        assert budgets.balance(budget, at=early) == budgets.Balance(Decimal(0), 0, Decimal(0), 0)


def test_a_budget_begins_anew_with_its_period(alice: Person, start_run: Start, costs: Callable[..., None]) -> None:
    costs("1.00")
    allow(alice, period="month", limit_usd=Decimal("1.50"))
    run = running(alice, start_run)

    with org_scope(alice.org):
        budgets.reserve(run, ASKED, at=NOON)
        with pytest.raises(OverBudget):
            budgets.reserve(run, ASKED, at=NOON.replace(day=31))
        assert budgets.reserve(run, ASKED, at=NOON.replace(month=6, day=1, hour=0)) is not None


def test_releasing_twice_gives_back_once(alice: Person, start_run: Start) -> None:
    budget = allow(alice, limit_tokens=1_000_000)
    run = running(alice, start_run)

    with org_scope(alice.org):
        budgets.reserve(run, ASKED, at=timezone.now())
        budgets.release(run)
        budgets.release(run)

    assert booked(alice, budget).tokens == 0


def test_deleting_a_run_refunds_nothing(alice: Person, start_run: Start, work: Work) -> None:
    budget = allow(alice, limit_tokens=1_000_000)
    run = start_run(alice)
    work()

    with org_scope(alice.org):
        lifecycle.delete_run(alice.scope, run.pk, at=timezone.now())

    assert booked(alice, budget).tokens == 70


def test_an_estimate_is_more_than_the_text_and_the_longest_answer() -> None:
    words = "the quick brown fox jumps over the lazy dog " * 100
    spec = ModelSpec("openai", "gpt-4o-mini", max_tokens=500)

    known = estimates.estimate(Request(spec, [{"role": "user", "content": words}], []))
    unknown = estimates.estimate(Request(ModelSpec("openai", "nobody-sells-this"), [], []))

    assert 900 + 500 < known.tokens < 2 * 900 + 500
    assert known.cost == pytest.approx(
        Decimal(known.tokens - 500) * Decimal("0.00000015") + Decimal("0.0003"), rel=Decimal("1e-6")
    )
    assert unknown.cost is None


def test_an_image_is_not_counted_by_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}

    counted = estimates.estimate(
        Request(ModelSpec("mock", "mock", max_tokens=0), [{"role": "user", "content": [image]}], [])
    )

    assert counted.tokens < 2 * estimates.IMAGE_TOKENS


def test_the_api_tells_balances_to_those_they_bind(
    alice: Person, bob: Person, committed: Cast, start_run: Start, work: Work
) -> None:
    allow(alice, limit_usd=Decimal(5), limit_tokens=100_000)
    allow(alice, kind="user", user=bob.user, period="day", limit_tokens=100_000)
    start_run(alice)
    work()

    hers, his, victors = (
        person.with_key().get("/api/budgets").json()["budgets"] for person in (alice, bob, committed.victor)
    )

    assert [row["kind"] for row in hers] == [row["kind"] for row in his] == ["organization", "user"]
    assert [row["kind"] for row in victors] == ["organization"]
    assert (hers[0]["spent_tokens"], hers[0]["reserved_tokens"], hers[0]["limit_usd"]) == (70, 0, "5.000000")
    assert (hers[1]["user_id"], hers[1]["spent_tokens"]) == ("bob", 0)


def test_charlie_sees_no_budget_of_acme_and_none_binds_him(
    alice: Person, charlie: Person, start_run: Start, work: Work
) -> None:
    budget = allow(alice, limit_tokens=0)
    run = start_run(charlie)
    work()

    assert charlie.with_key().get("/api/budgets").json() == {"budgets": []}
    assert charlie.signed_in().get(f"/admin/runs/budget/{budget.pk}/change/").status_code == 302  # "doesn't exist"
    assert reload(charlie, run).status == "completed"


def test_an_admin_sets_and_lifts_a_budget_and_the_audit_has_it(alice: Person, bob: Person) -> None:
    client = alice.signed_in()
    form = {
        "kind": "user",
        "user": bob.user.pk,
        "project": "",
        "period": "month",
        "limit_usd": "12.5",
        "limit_tokens": "",
    }

    added = client.post("/admin/runs/budget/add/", form)
    again = client.post("/admin/runs/budget/add/", form)
    ownerless = client.post("/admin/runs/budget/add/", form | {"user": ""})
    with org_scope(alice.org):
        budget = Budget.objects.get()
    listed = client.get("/admin/runs/budget/").content.decode()
    removed = client.post(f"/admin/runs/budget/{budget.pk}/delete/", {"post": "yes"})

    assert (added.status_code, again.status_code, ownerless.status_code, removed.status_code) == (302, 200, 200, 302)
    assert "12.5" in listed
    actions = AuditEntry.objects.filter(organization=alice.org, action__startswith="budget.").order_by("pk")
    assert [(entry.action, entry.details["limit_usd"]) for entry in actions][-2:] == [
        ("budget.set", "12.5"),
        ("budget.remove", "12.500000"),
    ]
    assert bob.signed_in().get("/admin/runs/budget/").status_code == 403


def test_nobody_of_another_organisation_can_be_given_a_budget(alice: Person, charlie: Person) -> None:
    form = {
        "kind": "user",
        "user": charlie.user.pk,
        "project": "",
        "period": "month",
        "limit_usd": "1",
        "limit_tokens": "",
    }

    answer = alice.signed_in().post("/admin/runs/budget/add/", form)

    assert answer.status_code == 200
    with org_scope(alice.org):
        assert not Budget.objects.exists()
