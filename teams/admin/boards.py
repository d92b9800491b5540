"""What stands on boards: to look at, to pin, to take down. It is written by members, and on the boards' pages."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import ReadOnlyPages, ask_first, asker, for_each
from openintern.sites import organization_admin
from openintern.tenancy.identity import may
from openintern.text import shorten
from teams.board import keeping
from teams.models import BoardEntry


class BoardEntryPages(ReadOnlyPages[BoardEntry]):
    list_display = ["beginning", "group", "kind", "tier", "status", "by", "trust", "version", "updated_at"]
    list_filter = ["kind", "tier", "status", "trust"]
    list_select_related = ["group", "user", "agent"]
    search_fields = ["text", "=run_id", "group__name"]
    ordering = ["-created_at", "-pk"]
    show_full_result_count = False
    actions = ["pin", "unpin", "take_down"]
    fields = [
        "group",
        "kind",
        "text",
        "details",
        "tier",
        "importance",
        "status",
        "trust",
        "by",
        "run_id",
        "event_seq",
        "version",
        "created_at",
        "updated_at",
        "board",
    ]

    @display(description=_("text"))
    def beginning(self, entry: BoardEntry) -> str:
        return shorten(entry.text, 120)

    @display(description=_("author"))
    def by(self, entry: BoardEntry) -> str:
        return " · ".join(part for part in (entry.role_name, str(entry.user or "")) if part)

    @display(description=_("board"))
    def board(self, entry: BoardEntry) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("board", args=[entry.group_id]), _("open"))

    def has_keep_permission(self, request: HttpRequest) -> bool:
        return may(request, "board", "delete")  # type: ignore[arg-type]

    @action(description=_("Pin the selected entries"), permissions=["keep"])
    def pin(self, request: HttpRequest, chosen: QuerySet[BoardEntry]) -> None:
        _pin(request, chosen, is_pinned=True)

    @action(description=_("Unpin the selected entries"), permissions=["keep"])
    def unpin(self, request: HttpRequest, chosen: QuerySet[BoardEntry]) -> None:
        _pin(request, chosen, is_pinned=False)

    @action(description=_("Take the selected entries down"), permissions=["keep"])
    def take_down(self, request: HttpRequest, chosen: QuerySet[BoardEntry]) -> HttpResponse | None:
        title, note = _("Take these entries down?"), _("What is remembered of them is forgotten.")
        if asked := ask_first(
            request, chosen, site=self.admin_site, action="take_down", title=title, note=note, tell=self.beginning
        ):
            return asked
        scope = asker(request)
        for_each(request, chosen, lambda entry: keeping.remove(scope, entry.group_id, entry.pk))
        return None


def _pin(request: HttpRequest, chosen: Any, *, is_pinned: bool) -> None:
    scope = asker(request)
    for_each(request, chosen, lambda entry: keeping.pin(scope, entry.group_id, entry.pk, is_pinned=is_pinned))


organization_admin.register(BoardEntry, BoardEntryPages)
