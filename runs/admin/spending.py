"""Budgets, and the ledger of what was reserved and spent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib.admin import display
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from openintern.administration import OrganizationPages, ReadOnlyPages, asker
from openintern.sites import organization_admin
from openintern.tenancy.models import Project, User
from runs import budgets
from runs.models import Budget, LedgerEntry


class BudgetPages(OrganizationPages[Budget]):
    """What may be spent, and by whom; the next model call is held against it."""

    list_display = ["__str__", "limit_usd", "spent_usd", "limit_tokens", "spent_tokens"]
    fields = ["kind", "project", "user", "period", "limit_usd", "limit_tokens"]
    list_select_related = ["project", "user"]
    actions = None

    @display(description=_("spent or reserved (USD)"))
    def spent_usd(self, budget: Budget) -> Decimal:
        return budgets.balance(budget, at=timezone.now()).usd

    @display(description=_("spent or reserved (tokens)"))
    def spent_tokens(self, budget: Budget) -> int:
        return budgets.balance(budget, at=timezone.now()).tokens

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        org = asker(request).org
        kwargs["queryset"] = (
            Project.objects.filter(organization=org)
            if db_field.name == "project"
            else User.objects.filter(memberships__organization=org)
        )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        budgets.set_budget(asker(request), obj)

    def delete_model(self, request: HttpRequest, obj: Budget) -> None:
        budgets.remove_budget(asker(request), obj)


class LedgerPages(ReadOnlyPages[LedgerEntry]):
    list_display = ["at", "kind", "amount", "tokens", "run_id", "user", "project"]
    list_filter = ["kind"]
    search_fields = ["=run__id"]
    list_select_related = ["user", "project"]
    fields = ["at", "kind", "amount", "tokens", "run_id", "user", "project"]
    show_full_result_count = False
    ordering = ["-id"]


organization_admin.register(Budget, BudgetPages)
organization_admin.register(LedgerEntry, LedgerPages)
