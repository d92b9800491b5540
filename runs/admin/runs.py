"""Runs, their events and tickets: to look at, to cancel, to set going again."""

from __future__ import annotations

from typing import cast

from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import ReadOnlyPages, ask_first, asker, for_each
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from openintern.text import shorten
from runs import lifecycle
from runs.models import Event, Run
from runs.queue.models import Ticket


class RunPages(ReadOnlyPages[Run]):
    list_display = ["id", "task", "status", "user", "project", "attempt", "step", "cost", "created_at", "trace"]
    list_filter = ["status", "created_at"]
    search_fields = ["id", "input"]
    list_select_related = ["user", "project"]
    date_hierarchy = "created_at"
    ordering = ["-created_at", "-pk"]
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
        for_each(request, chosen, lambda run: lifecycle.cancel_run(asker(request), run.pk, at=at))
        return None

    @action(description=_("Put the selected runs back into the queue"), permissions=["requeue"])
    def requeue(self, request: HttpRequest, chosen: QuerySet[Run]) -> HttpResponse | None:
        title, note = _("Put these runs back into the queue?"), _("A worker that still holds one of them loses it.")
        if asked := ask_first(request, chosen, site=self.admin_site, action="requeue", title=title, note=note):
            return asked
        for_each(request, chosen, lambda run: lifecycle.requeue_run(asker(request), run.pk))
        return None


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


organization_admin.register(Run, RunPages)
organization_admin.register(Event, EventPages)
organization_admin.register(Ticket, TicketPages)
