"""Budgets: what an organisation, a project or a person may spend in a day, in a month, or at all.

The ledger is the only account, and a balance is a sum of its rows:

| row     | books                           | in which transaction                                        |
|---------|---------------------------------|-------------------------------------------------------------|
| reserve | the most that a call may cost   | the one that ends the step before, else one of its own      |
| release | that reservation, back          | the one that stores the answer, ends the run, or resumes it |
| settle  | what the call did cost          | the one that stores the answer                              |

Where no budget applies nothing is reserved. With one, a step stays at two write transactions too: what the next call may
cost is held with the end of the step before it (`hold_ahead`), and `reserve` has nothing left to do. What was spent is
booked in any case, so that a budget which is set in the middle of a month knows of its beginning.
A purchase that a crash or a cancel cut short is booked as nothing: nobody has said what it cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope
from runs.llm.estimate import estimate
from runs.llm.types import Request, Usage
from runs.log import StaleAttempt
from runs.models import Budget, LedgerEntry, Run

_CENT_OF_A_CENT = Decimal("0.0001")


class OverBudget(OpenInternError):
    """The next model call could pass a budget; `details` says which one and by how much."""


@dataclass(frozen=True)
class Reservation:
    """What is held for one model call, and to which moment it is booked."""

    usd: Decimal
    tokens: int
    at: datetime


@dataclass(frozen=True)
class Balance:
    """What is booked on a budget in its current period: spent for good, and held for calls that are under way."""

    spent_usd: Decimal
    spent_tokens: int
    reserved_usd: Decimal
    reserved_tokens: int

    @property
    def usd(self) -> Decimal:
        """The sum of all rows."""
        return self.spent_usd + self.reserved_usd

    @property
    def tokens(self) -> int:
        """The sum of all rows."""
        return self.spent_tokens + self.reserved_tokens


def reserve(run: Run, request: Request, *, at: datetime) -> Reservation | None:
    """Hold the most that `request` may cost, or return None where no budget applies. Commits.

    Locks the run's row, which keeps out a worker that has lost it, then the budgets' rows in one order, which makes
    concurrent reservations exact. A model without a known price counts in tokens only. Raises OverBudget, and
    StaleAttempt if the run has gone on without this worker.
    """
    if not _applying(run):
        return None
    most = estimate(request)
    held = Reservation(most.cost or Decimal(0), most.tokens, at)
    with transaction.atomic():
        if not Run.objects.select_for_update(no_key=True).filter(pk=run.pk, attempt=run.attempt).exists():
            raise StaleAttempt(run.pk)
        for budget in _applying(run, lock=True):
            _check(budget, held)
        _book(run, LedgerEntry.Kind.RESERVE, held.usd, held.tokens, at=at)
    return held


def hold_ahead(run: Run, request: Request, *, at: datetime) -> Reservation | None:
    """Hold what the next call may cost, if the budgets bear it.

    In a transaction that has locked the run's row. None where no budget applies or one is too small: `reserve` says why.
    """
    applying = _applying(run, lock=True)
    most = estimate(request)
    held = Reservation(most.cost or Decimal(0), most.tokens, at)
    try:
        for budget in applying:
            _check(budget, held)
    except OverBudget:
        return None
    if not applying:
        return None
    _book(run, LedgerEntry.Kind.RESERVE, held.usd, held.tokens, at=at)
    return held


def covers(held: Reservation, request: Request) -> bool:
    """Whether what is held is enough for a call."""
    most = estimate(request)
    return held.tokens >= most.tokens and held.usd >= (most.cost or 0)


def settle(run: Run, usage: Usage, *, held: Reservation | None, at: datetime) -> None:
    """Book what a call did cost and give back what was held for it, in the transaction that stores its answer."""
    at = held.at if held else at
    _book(run, LedgerEntry.Kind.SETTLE, usage.cost or Decimal(0), usage.prompt_tokens + usage.completion_tokens, at=at)
    if held is not None:
        _book(run, LedgerEntry.Kind.RELEASE, -held.usd, -held.tokens, at=at)


def release(run: Run) -> None:
    """Give back what is still held for a run whose calls came to nothing; may be repeated.

    In a transaction that has locked the run's row, so that nothing is reserved beside it.
    """
    held = (
        LedgerEntry.objects.filter(run=run)
        .exclude(kind=LedgerEntry.Kind.SETTLE)
        .values_list("at")
        .annotate(usd=Sum("amount"), tokens=Sum("tokens"))
    )
    for at, usd, tokens in held:
        if usd or tokens:
            _book(run, LedgerEntry.Kind.RELEASE, -usd, -tokens, at=at)


def balance(budget: Budget, *, at: datetime) -> Balance:
    """Return what is booked on a budget in the period that `at` falls in."""
    rows = LedgerEntry.objects.all()
    match budget.kind:
        case Budget.Kind.PROJECT:
            rows = rows.filter(Q(project_id=budget.project_id))
        case Budget.Kind.USER:
            rows = rows.filter(Q(user_id=budget.user_id))
    if (begin := begins_at(budget.period, at=at)) is not None:
        rows = rows.filter(at__gte=begin)
    spent = Q(kind=LedgerEntry.Kind.SETTLE)
    sums = rows.aggregate(
        spent_usd=Sum("amount", filter=spent, default=Decimal(0)),
        spent_tokens=Sum("tokens", filter=spent, default=0),
        reserved_usd=Sum("amount", filter=~spent, default=Decimal(0)),
        reserved_tokens=Sum("tokens", filter=~spent, default=0),
    )
    return Balance(**sums)


def begins_at(period: str, *, at: datetime) -> datetime | None:
    """Return when the period that `at` (in UTC) falls in began; None for the one without a beginning."""
    match period:
        case Budget.Period.DAY:
            return at.replace(hour=0, minute=0, second=0, microsecond=0)
        case Budget.Period.MONTH:
            return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return None


def in_sight(scope: Scope) -> QuerySet[Budget]:
    """The budgets that `scope` may know of: those that bind one's own runs; an admin sees all."""
    budgets = Budget.objects.select_related("project", "user").order_by(
        "kind", "project__slug", "user__username", "period"
    )
    if scope.sees_everything:
        return budgets
    mine = Project.objects.filter(memberships__user=scope.user)
    return budgets.filter(Q(kind=Budget.Kind.ORGANIZATION) | Q(user=scope.user) | Q(project__in=mine))


@transaction.atomic
def set_budget(scope: Scope, budget: Budget) -> None:
    """Store a new or changed budget, and audit it. It holds from the next model call on."""
    budget.save()
    audit.record_for(scope, "budget.set", object_id=str(budget), **_limits(budget))


@transaction.atomic
def limit(
    scope: Scope,
    *,
    kind: str,
    owner: str = "",
    period: str,
    usd: Decimal | None,
    tokens: int | None,
) -> Budget:
    """Set what the organisation, its project or its person (`owner`: slug or username) may spend in a period.

    Takes the place of such a budget that is there. Raises VALIDATION_ERROR for an owner that isn't in the organisation,
    and for limits that can't be.
    """
    project, user = _owner(scope, kind, owner)
    budget = Budget.objects.filter(kind=kind, project=project, user=user, period=period).first()
    budget = budget or Budget(kind=kind, project=project, user=user, period=period)
    budget.limit_usd, budget.limit_tokens = usd, tokens
    try:
        budget.full_clean()
    except ValidationError as error:
        raise Invalid(*_first_complaint(error)) from error
    set_budget(scope, budget)
    return budget


def find(scope: Scope, budget_id: int) -> Budget:
    """Return a budget in sight, or raise NOT_FOUND."""
    budget = in_sight(scope).filter(pk=budget_id).first()
    if budget is None:
        raise NotFound("Budget")
    return budget


@transaction.atomic
def remove_budget(scope: Scope, budget: Budget) -> None:
    """Lift a budget, and audit it. What has been booked stays booked."""
    audit.record_for(scope, "budget.remove", object_id=str(budget), **_limits(budget))
    budget.delete()


def _owner(scope: Scope, kind: str, owner: str) -> tuple[Project | None, User | None]:
    project = user = None
    match kind:
        case Budget.Kind.PROJECT:
            project = scope.org.projects.filter(slug=owner).first()
        case Budget.Kind.USER:
            user = User.objects.filter(memberships__organization=scope.org, username=owner).first()
        case Budget.Kind.ORGANIZATION:
            return None, None
    if project is None and user is None:
        raise Invalid("owner", "There is no such project or person in the organisation")
    return project, user


def _first_complaint(error: ValidationError) -> tuple[str, str]:
    field, messages = next(iter(error.message_dict.items()))
    return field.replace("__all__", "limit"), messages[0]


#: These two are part of every step, and written out: composing them takes Django longer than PostgreSQL takes to do them.
_APPLYING = "SELECT * FROM runs_budget WHERE kind = %s OR user_id = %s OR project_id = %s ORDER BY id"
_BOOK = """
    INSERT INTO runs_ledgerentry (kind, run_id, user_id, project_id, amount, tokens, at) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


def _applying(run: Run, *, lock: bool = False) -> list[Budget]:
    """Return the budgets that bind a run, in the order in which they are locked."""
    statement = f"{_APPLYING} FOR NO KEY UPDATE" if lock else _APPLYING
    return list(Budget.objects.raw(statement, [Budget.Kind.ORGANIZATION, run.user_id, run.project_id]))


def _check(budget: Budget, held: Reservation) -> None:
    """Raise OverBudget if the budget, which is locked, can't bear the reservation too."""
    booked = balance(budget, at=held.at)
    if budget.limit_usd is not None and booked.usd + held.usd > budget.limit_usd:
        raise _over(
            budget,
            f"{booked.usd.quantize(_CENT_OF_A_CENT)} of {budget.limit_usd:f} USD",
            f"{held.usd.quantize(_CENT_OF_A_CENT)} USD",
        )
    if budget.limit_tokens is not None and booked.tokens + held.tokens > budget.limit_tokens:
        raise _over(budget, f"{booked.tokens} of {budget.limit_tokens} tokens", f"{held.tokens} tokens")


def _over(budget: Budget, used: str, needed: str) -> OverBudget:
    message = f"The {name_of(budget)} has {used} spent or reserved, and the next model call may take {needed}"
    return OverBudget("BUDGET_EXCEEDED", message, details={"budget": owner_of(budget), "used": used, "needed": needed})


def name_of(budget: Budget) -> str:
    """Return the budget as it is called in a sentence."""
    owner = {Budget.Kind.PROJECT: f"project {budget.project}", Budget.Kind.USER: f"person {budget.user}"}.get(
        Budget.Kind(budget.kind), "organisation"
    )
    period = {Budget.Period.DAY: "daily ", Budget.Period.MONTH: "monthly "}.get(Budget.Period(budget.period), "")
    return f"{period}budget of the {owner}"


def owner_of(budget: Budget) -> dict[str, Any]:
    """Return for what and for whom a budget is, in the API's words."""
    return {
        "kind": budget.kind,
        "project_id": budget.project.slug if budget.project else None,
        "user_id": budget.user.username if budget.user else None,
        "period": budget.period,
    }


def _limits(budget: Budget) -> dict[str, Any]:
    return {
        "limit_usd": None if budget.limit_usd is None else str(budget.limit_usd),
        "limit_tokens": budget.limit_tokens,
    }


def _book(run: Run, kind: str, usd: Decimal, tokens: int, *, at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_BOOK, [kind, run.pk, run.user_id, run.project_id, usd, tokens, at])
