"""The two admins: an organisation's, entered by its admins, and the platform's, entered by its staff.

What is registered where is said in the apps' `admin.py`. A page of the organisation's admin runs inside the
organisation (the middleware has entered it), so it can't show a row of another; the platform's run in `public`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, reverse
from django.utils.translation import gettext_lazy as _

from openintern.administration import asker
from openintern.tenancy.access import Access, declare_all, public


class OrganizationAdminSite(AdminSite):
    """Runs, queue, people and keys of the organisation one is in."""

    declared: ClassVar[Access] = Access("admin", {"GET": "read", "POST": "change"})
    site_header = site_title = _("Organisation")
    index_title = _("Administration")
    site_url = "/"
    final_catch_all_view = False  # what isn't there is the site's ordinary 404

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the pages, each with the access that the middleware holds requests against."""
        urls: list[URLPattern | URLResolver] = super().get_urls()
        declare_all(urls, self.declared)
        return urls

    def has_permission(self, request: HttpRequest) -> bool:
        """Identity and role have been checked by the middleware, from the access declared above."""
        return bool(request.user.is_active)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every page is given: above it stands whose organisation it is."""
        return {**super().each_context(request), "site_header": str(asker(request).org)}

    @public
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send people to the one door that there is."""
        return redirect_to_login(reverse(f"{self.name}:index"))

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:  # type: ignore[override]
        """One's password is one's own account's matter, and changing it is audited there."""
        return redirect("change-password")

    password_change_done = password_change  # type: ignore[assignment]


class PlatformAdminSite(OrganizationAdminSite):
    """Organisations, people, keys and projects of the whole platform."""

    declared = Access(is_platform=True)
    site_title = _("Platform")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**AdminSite.each_context(self, request), "site_header": self.site_title}


organization_admin = OrganizationAdminSite(name="admin")
platform_admin = PlatformAdminSite(name="platform")
