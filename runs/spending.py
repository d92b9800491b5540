"""The budgets page: what may be spent, what has been, and setting it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import Invalid
from openintern.pages import scope_of
from openintern.tenancy.access import access
from openintern.tenancy.models import Membership
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from runs import budgets
from runs.budgets import Balance
from runs.models import Budget

MOST = 200  # budgets on the page, and people in the list of those who can be given one


@dataclass(frozen=True)
class Row:
    """A budget with what is booked on it in its current period."""

    budget: Budget
    booked: Balance
    began_at: datetime | None

    @property
    def name(self) -> str:
        match self.budget.kind:
            case Budget.Kind.PROJECT:
                return str(self.budget.project)
            case Budget.Kind.USER:
                return str(self.budget.user)
        return _("The whole organisation")

    @property
    def owner(self) -> str:
        return _owner_value(self.budget)

    @property
    def is_used_up(self) -> bool:
        """Whether there is nothing left of it, in dollars or in tokens."""
        usd, tokens = self.budget.limit_usd, self.budget.limit_tokens
        return (usd is not None and self.booked.usd >= usd) or (tokens is not None and self.booked.tokens >= tokens)

    @property
    def limit_usd(self) -> str:
        """The limit as somebody would type it."""
        return "" if self.budget.limit_usd is None else f"{self.budget.limit_usd.normalize():f}"

    @property
    def usd_full(self) -> str:
        """The limit as a bar's end: of a limit of nothing, anything is all."""
        return f"{self.budget.limit_usd or Decimal(1):f}"


class Limits(forms.Form):
    """What a budget is for, and how much it lets through."""

    owner = forms.ChoiceField(label=gettext_lazy("for"))
    period = forms.ChoiceField(label=gettext_lazy("period"), choices=Budget.Period.choices, initial=Budget.Period.MONTH)
    limit_usd = forms.DecimalField(
        label=gettext_lazy("limit (USD)"), min_value=0, max_digits=14, decimal_places=6, required=False
    )
    limit_tokens = forms.IntegerField(
        label=gettext_lazy("limit (tokens)"), min_value=0, max_value=2**63 - 1, required=False
    )

    def __init__(self, scope: Scope, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["owner"].choices = _owners(scope)  # type: ignore[attr-defined]


@access("budget", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def budgets_page(request: HttpRequest) -> HttpResponse:
    """Show the budgets that bind one's runs (an admin: all) with their balances; an admin sets them."""
    scope = scope_of(request)
    may_change = allows(scope.role, "budget", "change")
    form = Limits(scope, request.POST if request.method == "POST" else None) if may_change else None
    if request.method == "POST" and form and form.is_valid() and _set(scope, form):
        messages.success(request, _("The budget is set. It holds from the next model call on."))
        return redirect("budgets")
    context = {"rows": _rows(scope, at=timezone.now()), "form": form, "may_change": may_change}
    return render(request, "runs/budgets.html", context, status=400 if form and form.errors else 200)


@access("budget", POST="change")
@require_POST
def remove(request: HttpRequest, budget_id: int) -> HttpResponse:
    """Lift a budget. What has been spent stays in the ledger."""
    scope = scope_of(request)
    budgets.remove_budget(scope, budgets.find(scope, budget_id))
    messages.info(request, _("The budget is lifted."))
    return redirect("budgets")


def _set(scope: Scope, form: Limits) -> bool:
    """Set the budget; what is wrong with it is put beside its field."""
    told = form.cleaned_data
    kind, _colon, owner = told["owner"].partition(":")
    try:
        budgets.limit(
            scope, kind=kind, owner=owner, period=told["period"], usd=told["limit_usd"], tokens=told["limit_tokens"]
        )
    except Invalid as error:
        form.add_error(None, error.message)
    return not form.errors


def _rows(scope: Scope, *, at: datetime) -> list[Row]:
    return [
        Row(budget, budgets.balance(budget, at=at), budgets.begins_at(budget.period, at=at))
        for budget in budgets.in_sight(scope)[:MOST]
    ]


def _owners(scope: Scope) -> list[tuple[object, object]]:
    """For whom a budget can be: the organisation, its projects, its people."""
    projects = [(f"project:{project.slug}", str(project)) for project in scope.org.projects.all()[:MOST]]
    members = Membership.objects.filter(organization=scope.org, user__is_active=True).select_related("user")
    people = [(f"user:{each.user.username}", each.user.username) for each in members.order_by("user__username")[:MOST]]
    return [
        ("organization", _("The whole organisation")),
        *([(_("Projects"), projects)] if projects else []),
        (_("People"), people),
    ]


def _owner_value(budget: Budget) -> str:
    match budget.kind:
        case Budget.Kind.PROJECT if budget.project:
            return f"project:{budget.project.slug}"
        case Budget.Kind.USER if budget.user:
            return f"user:{budget.user.username}"
    return "organization"
