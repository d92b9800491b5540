"""What the admin pages of an organisation have in common: rights from the policy table, rows of this organisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, TypeVar, cast

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from openintern.errors import OpenInternError
from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.scope import Scope
from openintern.text import shorten

Row = TypeVar("Row", bound=Model)

#: Rows that one action takes: each is a transaction of its own.
MOST_AT_ONCE: Final = 200


class OrganizationPages(ModelAdmin[Row]):
    """Pages for an organisation's admins. `organization_path` leads from a shared row to its organisation;
    rows of the organisation's own schema need none."""

    organization_path = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        rows = super().get_queryset(request)
        return rows.filter(**{self.organization_path: asker(request).org}) if self.organization_path else rows

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "admin", "read")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "admin", "change")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "admin", "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(cast(ScopedRequest, request), "admin", "change")

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """The audit has it: Django's own log is shared by all organisations."""

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """See log_addition."""

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """See log_addition."""


class ReadOnlyPages(OrganizationPages[Row]):
    """Rows to look at; what can be done about them are actions."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _in_a_line(row: Any) -> str:
    return shorten(getattr(row, "input", "") or str(row), 160)


def ask_first(
    request: HttpRequest,
    rows: Iterable[Model],
    *,
    site: AdminSite,
    action: str,
    title: Any,
    note: Any,
    tell: Callable[[Any], str] = _in_a_line,
) -> HttpResponse | None:
    """Return the page that asks before many things are changed at once; None once somebody has said yes to it."""
    chosen = list(islice(rows, MOST_AT_ONCE))
    if request.POST.get("confirmed") == "yes" or not chosen:
        return None
    context = {
        **site.each_context(request),
        "title": title,
        "note": note,
        "rows": [{"pk": row.pk, "shown": tell(row)} for row in chosen],
        "action_name": action,
    }
    return TemplateResponse(request, "admin/confirm.html", context)


def for_each(request: HttpRequest, chosen: Iterable[Row], act: Callable[[Row], object]) -> None:
    """Do it to each of them, MOST_AT_ONCE at most; say how many there were, and which couldn't be."""
    done = 0
    for row in islice(chosen, MOST_AT_ONCE):
        try:
            act(row)
            done += 1
        except OpenInternError as error:
            messages.warning(request, f"{row.pk}: {_(error.message)}")
    messages.success(request, _("%(count)d done") % {"count": done})


def asker(request: HttpRequest) -> Scope:
    """Return who uses the admin; the middleware lets nobody in without an organisation."""
    return cast(Scope, cast(ScopedRequest, request).asker)
