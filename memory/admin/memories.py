"""What projects remember, and one's own: to look at, to forget, to bring back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from django.contrib.admin import EmptyFieldListFilter, action, display
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from memory import keeping
from memory.models import Memory
from openintern.administration import ReadOnlyPages, ask_first, asker, for_each
from openintern.errors import NotFound
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.scope import Scope
from openintern.text import shorten

_BEGINNING = 200
_SHOWN = 5_000


class MemoryPages(ReadOnlyPages[Memory]):
    """What projects remember, and one's own."""

    list_display = [
        "beginning",
        "tier",
        "whose",
        "author",
        "source_type",
        "trust",
        "importance",
        "created_at",
        "forgotten_at",
    ]
    list_filter = ["shelf__tier", "trust", "source_type", ("forgotten_at", EmptyFieldListFilter)]
    search_fields = ["text", "=run_id", "=document"]
    list_select_related = ["shelf__project", "shelf__user", "author"]
    show_full_result_count = False
    date_hierarchy = "created_at"
    actions = ["forget", "restore"]
    fields = [
        "shown_text",
        "tier",
        "whose",
        "importance",
        "trust",
        "author",
        "run_id",
        "event_seq",
        "document",
        "source_type",
        "source_key",
        "metadata",
        "created_at",
        "updated_at",
        "superseded_at",
        "forgotten_at",
        "page",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Memory]:
        rows = super().get_queryset(request).filter(shelf__in=keeping.shelves(asker(request)))
        return rows.annotate(start=Left("text", _SHOWN)).defer("text")

    @display(description=_("text"))
    def beginning(self, memory: Memory) -> str:
        return _beginning(memory)

    @display(description=_("text"))
    def shown_text(self, memory: Memory) -> str:
        text = str(getattr(memory, "start", ""))
        return text if len(text) < _SHOWN else f"{text}…"

    @display(description=_("tier"))
    def tier(self, memory: Memory) -> str:
        return str(memory.shelf.get_tier_display())

    @display(description=_("whose"))
    def whose(self, memory: Memory) -> str:
        return str(memory.shelf.project or memory.shelf.user)

    @display(description=_("page"))
    def page(self, memory: Memory) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("memory-item", args=[memory.pk]), _("open"))

    def has_keep_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "memory", "delete")

    @action(description=_("Forget the selected memories"), permissions=["keep"])
    def forget(self, request: HttpRequest, chosen: QuerySet[Memory]) -> HttpResponse | None:
        there = chosen.filter(forgotten_at__isnull=True)
        title = _("Forget these memories?")
        note = _("What was derived from them is forgotten too. For 30 days they can be brought back.")
        if asked := ask_first(
            request, there, site=self.admin_site, action="forget", title=title, note=note, tell=_beginning
        ):
            return asked
        scope, at = asker(request), timezone.now()
        for_each(request, there, lambda memory: _unless_taken_along(keeping.forget, scope, memory, at=at))
        return None

    @action(description=_("Bring back the selected memories"), permissions=["keep"])
    def restore(self, request: HttpRequest, chosen: QuerySet[Memory]) -> HttpResponse | None:
        gone = chosen.filter(forgotten_at__isnull=False)
        title, note = _("Bring these memories back?"), _("What was forgotten along with them comes back too.")
        if asked := ask_first(
            request, gone, site=self.admin_site, action="restore", title=title, note=note, tell=_beginning
        ):
            return asked
        scope, at = asker(request), timezone.now()
        for_each(request, gone, lambda memory: _unless_taken_along(keeping.bring_back, scope, memory, at=at))
        return None


def _beginning(memory: Memory) -> str:
    return shorten(str(getattr(memory, "start", "")), _BEGINNING)


def _unless_taken_along(act: Callable[..., object], scope: Scope, memory: Memory, *, at: datetime) -> None:
    """Do it, unless it has been done along with a memory before it."""
    try:
        act(scope, memory.pk, at=at)
    except NotFound:
        return


organization_admin.register(Memory, MemoryPages)
