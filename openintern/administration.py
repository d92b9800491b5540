"""What the admin pages of an organisation have in common: rights from the policy table, rows of this organisation."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from django.contrib.admin import ModelAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.scope import Scope

Row = TypeVar("Row", bound=Model)


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


def asker(request: HttpRequest) -> Scope:
    """Return who uses the admin; the middleware lets nobody in without an organisation."""
    return cast(Scope, cast(ScopedRequest, request).asker)
