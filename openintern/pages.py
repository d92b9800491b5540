"""What every page is framed by: navigation, the organisation one is in, theme; and how a page is told from its fragment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from openintern.tenancy.access import public
from openintern.tenancy.identity import ScopedRequest, may
from openintern.tenancy.models import Organization, User
from openintern.tenancy.scope import Scope

THEMES = ("light", "dark")
THEME_COOKIE = "theme"
_A_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Destination:
    """A page in the navigation: `also` are the names of the pages that lie below it."""

    url_name: str
    label: Any
    icon: str
    resource: str
    also: tuple[str, ...] = ()
    count_url_name: str = ""  # of the fragment with a number that stands beside the label
    is_current: bool = False


NAVIGATION = (
    Destination("chat", _("Chat"), "chat", "session"),
    Destination("runs", _("Runs"), "runs", "run", also=("trace",)),
    Destination("memory", _("Memory"), "memory", "memory", also=("memory-item", "memory-changes", "documents")),
    Destination("connectors", _("Connectors"), "folder", "connector", also=("connector",)),
    Destination("pdfs", _("PDFs"), "file", "pdf"),
    Destination(
        "teams",
        _("Teams"),
        "team",
        "group",
        also=("team-group", "team-role", "new-team-group", "new-team-role", "import-teams"),
    ),
    Destination("blackboard", _("Blackboard"), "board", "board", also=("board", "entry-versions")),
    Destination("skills", _("Skills"), "tool", "skill", also=("skill",)),
    Destination("approvals", _("Approvals"), "waiting", "approval", count_url_name="approval-count"),
    Destination("schedules", _("Schedules"), "clock", "schedule", also=("schedule",)),
    Destination("budgets", _("Budgets"), "budget", "budget"),
    Destination("webhooks", _("Webhooks"), "outbox", "webhook", also=("webhook",)),
    Destination("mcp-servers", _("MCP servers"), "plug", "mcp_server"),
)


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of every page. Asks the database for nothing until a template shows it."""
    scoped = cast(ScopedRequest, request)
    asker: Scope | None = getattr(scoped, "asker", None)
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return {
        "wants_fragment": request.headers.get("HX-Request") == "true",  # also before the middleware that says it
        "theme": theme if theme in THEMES else "",
        "current_org": asker.org if asker else None,
        "nav": _navigation(scoped) if asker else (),
        "organizations": SimpleLazyObject(lambda: _organizations_of(asker)),
        "account_links": _account_links(scoped) if asker else (),
    }


def scope_of(request: HttpRequest) -> Scope:
    """Return in whose name a page is asked for. Only for views that aren't public."""
    return cast(Scope, cast(ScopedRequest, request).asker)


def render_frame(request: HttpRequest, *, page: str, fragment: str, context: dict[str, Any]) -> HttpResponse:
    """Answer with the fragment to htmx and with the whole page to everybody else, under the same address."""
    details = getattr(request, "htmx", None)
    wants_fragment = bool(details) and not details.history_restore_request  # type: ignore[union-attr]
    response = render(request, fragment if wants_fragment else page, context)
    patch_vary_headers(response, ["HX-Request"])
    response["Cache-Control"] = "no-store"
    return response


def address(name: str, *args: Any, **query: Any) -> str:
    """Return a page's address with the query parameters that say something."""
    told = {key: value for key, value in query.items() if value}
    return reverse(name, args=args) + (f"?{urlencode(told)}" if told else "")


def way_back(request: HttpRequest, *, default: str) -> str:
    """Return the page to go on with: what the form says or where it stood, never another site."""
    for url in (request.POST.get("next", ""), request.headers.get("Referer", "")):
        if url and url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure()):
            return url
    return reverse(default)


@public
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Remember light or dark; anything else means: as the system does."""
    response = HttpResponseRedirect(way_back(request, default="chat"))
    theme = request.POST.get("theme", "")
    if theme in THEMES:
        response.set_cookie(
            THEME_COOKIE, theme, max_age=_A_YEAR, samesite="Lax", httponly=True, secure=request.is_secure()
        )
    else:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    return response


def _navigation(request: ScopedRequest) -> Sequence[Destination]:
    here = request.resolver_match.url_name if request.resolver_match else ""
    return [
        Destination(
            each.url_name,
            each.label,
            each.icon,
            each.resource,
            each.also,
            each.count_url_name,
            is_current=here in (each.url_name, *each.also),
        )
        for each in NAVIGATION
        if may(request, each.resource, "read")
    ]


def _organizations_of(asker: Scope | None) -> list[Organization]:
    if asker is None:
        return []
    return list(Organization.objects.filter(is_active=True, memberships__user=asker.user).order_by("name"))


def _account_links(request: ScopedRequest) -> list[dict[str, Any]]:
    links = []
    if may(request, "admin", "read"):
        links.append({"url": reverse("admin:index"), "label": _("Administration")})
    if cast(User, request.user).is_superuser:
        links.append({"url": reverse("platform:index"), "label": _("Platform")})
    return [*links, {"url": reverse("api-docs"), "label": _("API")}]
