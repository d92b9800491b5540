"""Runs, their events and tickets in the organisation's admin: to look at, to cancel, to set going again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import OrganizationPages, ReadOnlyPages, ask_first, asker
from openintern.errors import OpenInternError
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.models import Project, User
from openintern.text import shorten
from runs import budgets, lifecycle
from runs.mcp import servers
from runs.models import Budget, Event, LedgerEntry, McpServer, Run
from runs.queue.models import Ticket


class McpServerPages(ReadOnlyPages[McpServer]):
    """To look at, and to test; they are added and approved on the page of MCP servers."""

    list_display = ["name", "transport", "url", "program", "auth", "risk", "is_enabled", "state", "error", "looked_at"]
    list_filter = ["state", "is_enabled"]
    search_fields = ["name", "url"]
    exclude = ["secret", "approved", "seen"]
    actions = ["look"]

    def has_look_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "mcp_server", "change")

    @action(description=_("Look at the selected servers"), permissions=["look"])
    def look(self, request: HttpRequest, chosen: QuerySet[McpServer]) -> None:
        for server in chosen:
            seen = servers.look(asker(request), server.pk)
            is_well = seen.state == McpServer.State.HEALTHY
            messages.add_message(
                request,
                messages.SUCCESS if is_well else messages.WARNING,
                f"{seen}: {seen.error or seen.get_state_display()}",
            )


class RunPages(ReadOnlyPages[Run]):
    list_display = ["id", "task", "status", "user", "project", "attempt", "step", "cost", "created_at", "trace"]
    list_filter = ["status", "created_at"]
    search_fields = ["id", "input"]
    list_select_related = ["user", "project"]
    date_hierarchy = "created_at"
    actions = ["cancel", "requeue"]

    @display(description=_("task"))
    def task(self, run: Run) -> str:
        return shorten(run.input, 80)

    @display(description=_("trace"))
    def trace(self, run: Run) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("trace", args=[run.pk]), _("open"))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "run", "cancel")

    def has_requeue_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "run", "requeue")

    @action(description=_("Cancel the selected runs"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        title, note = _("Cancel these runs?"), _("What they have done stays done; they don’t go on.")
        if asked := ask_first(request, chosen, site=self.admin_site, action="cancel", title=title, note=note):
            return asked
        at = timezone.now()
        _for_each(request, chosen, lambda run: lifecycle.cancel_run(asker(request), run.pk, at=at))
        return None

    @action(description=_("Put the selected runs back into the queue"), permissions=["requeue"])
    def requeue(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        title, note = _("Put these runs back into the queue?"), _("A worker that still holds one of them loses it.")
        if asked := ask_first(request, chosen, site=self.admin_site, action="requeue", title=title, note=note):
            return asked
        _for_each(request, chosen, lambda run: lifecycle.requeue_run(asker(request), run.pk))
        return None


def _for_each(request: HttpRequest, chosen: QuerySet[Run], act: Any) -> None:
    """Do it to each of them; say which couldn't be."""
    done = 0
    for run in chosen:
        try:
            act(run)
            done += 1
        except OpenInternError as error:
            messages.warning(request, f"{run.pk}: {error.message}")
    messages.success(request, _("%(count)d done") % {"count": done})


class EventPages(ReadOnlyPages[Event]):
    list_display = ["run", "seq", "at", "type", "step", "attempt"]
    list_filter = ["type"]
    search_fields = ["=run__id"]
    show_full_result_count = False
    ordering = ["run", "-seq"]


class TicketPages(ReadOnlyPages[Ticket]):
    organization_path = "organization"
    list_display = [
        "run_id",
        "model",
        "attempt",
        "losses",
        "available_at",
        "leased_by",
        "lease_expires_at",
        "created_at",
    ]
    search_fields = ["=run_id"]


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
organization_admin.register(McpServer, McpServerPages)
organization_admin.register(Run, RunPages)
organization_admin.register(Event, EventPages)
organization_admin.register(Ticket, TicketPages)
