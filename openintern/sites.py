"""The two admins: an organisation's, entered by its admins, and the platform's, entered by its staff.

What is registered where is said in the apps' `admin.py`. A page of the organisation's admin runs inside the
organisation (the middleware has entered it), so it can't show a row of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from openintern.tenancy.access import access, platform


class OrganizationAdminSite(AdminSite):
    """Runs, queue, people and keys of the organisation one is in."""

    site_header = site_title = _("Organisation")
    index_title = _("Administration")
    site_url = "/"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Identity and role have been checked by the middleware, from the access declared below."""
        return getattr(request, "asker", None) is not None and request.user.is_active

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., HttpResponseBase]:
        return access("admin", GET="read", POST="change")(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        from django.contrib.auth.views import redirect_to_login

        return redirect_to_login(request.GET.get("next") or "/admin/")


class PlatformAdminSite(OrganizationAdminSite):
    """Organisations, people, keys and projects of the whole platform."""

    site_header = site_title = _("Platform")

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)  # type: ignore[union-attr]

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., HttpResponseBase]:
        return platform(AdminSite.admin_view(self, view, cacheable))


organization_admin = OrganizationAdminSite(name="admin")
platform_admin = PlatformAdminSite(name="platform")
