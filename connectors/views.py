"""The pages of connectors: how each fares, syncing and pausing it, setting it up. Each makes one call into the domain."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from connectors import connecting
from connectors.bot import pages as bot_pages
from connectors.forms import ConnectorForm
from connectors.models import Connector, Listing, Source
from connectors.problems import sentence
from memory import browsing
from openintern.errors import Invalid, OpenInternError
from openintern.pages import render_frame, scope_of, way_back
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope

_SHOWN: Final = 50
_SYNCS: Final = 20


@access("connector", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def connectors(request: HttpRequest) -> HttpResponse:
    """Show the connectors in sight; take a new one."""
    scope, is_new = scope_of(request), request.method == "POST"
    form = ConnectorForm(None, browsing.projects(scope), request.POST if is_new else None)
    if is_new and form.is_valid():
        within = browsing.within(scope, form.cleaned_data["project"])
        if (made := _kept(form, within, None)) is not None:
            return redirect("connector", made.pk)
    rows = [_row(each) for each in connecting.connectors_with_news(scope)]
    context = {
        "rows": rows,
        "has_unfinished": any(row["job"] and not row["job"].is_final for row in rows),
        "form": form,
        "has_projects": bool(browsing.projects(scope)),
        **_rights(scope),
    }
    if form.errors:
        return render(request, "connectors/connectors.html", context, status=400)
    return render_frame(
        request, page="connectors/connectors.html", fragment="connectors/_connectors.html", context=context
    )


@access("connector", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def one_connector(request: HttpRequest, connector_id: str) -> HttpResponse:
    """Show a connector's syncs, and what of its sources can't be had; take a change."""
    scope = scope_of(request)
    connector = connecting.find(scope, connector_id)
    is_change = request.method == "POST"
    form = ConnectorForm(connector, [], request.POST if is_change else None)
    if is_change and form.is_valid() and _kept(form, scope, connector) is not None:
        messages.success(request, _("Saved. The next sync goes by it."))
        return redirect("connector", connector_id)
    jobs = list(connecting.jobs(scope, connector_id)[:_SYNCS])
    context = {
        "row": {"connector": connector, "job": jobs[0] if jobs else None},
        "jobs": jobs,
        "sources": Source.objects.filter(connector=connector).count(),
        "problems": _problems(connector),
        "form": form,
        "bot": SimpleLazyObject(lambda: bot_pages.about(request, scope, connector)),
        **_rights(scope),
    }
    if form.errors:
        return render(request, "connectors/connector.html", context, status=400)
    return render_frame(
        request, page="connectors/connector.html", fragment="connectors/_connector.html", context=context
    )


@access("connector", POST="sync")
@require_POST
def sync(request: HttpRequest, connector_id: str) -> HttpResponse:
    """Sync now."""
    connecting.sync(scope_of(request), connector_id)
    return redirect(way_back(request, default="connectors"))


@access("connector", POST="change")
@require_POST
def act(request: HttpRequest, connector_id: str, action: str) -> HttpResponse:
    """Pause a connector, or let it go on."""
    statuses = {"pause": Connector.Status.PAUSED, "resume": Connector.Status.ACTIVE}
    if action not in statuses:
        raise Invalid("action", "Unknown action")
    connecting.change(scope_of(request), connector_id, {"status": statuses[action].value})
    return redirect(way_back(request, default="connectors"))


@access("connector", POST="delete")
@require_POST
def remove(request: HttpRequest, connector_id: str) -> HttpResponse:
    """Remove a connector with all that it has brought."""
    connecting.remove(scope_of(request), connector_id)
    messages.success(request, _("The connector is removed, and what it brought is forgotten."))
    return redirect("connectors")


def _kept(form: ConnectorForm, scope: Scope, connector: Connector | None) -> Connector | None:
    """Keep what was written; None where it is refused, which then stands in the form."""
    try:
        if connector is None:
            return connecting.add(scope, form.told())
        return connecting.change(scope, connector.pk, form.told())
    except OpenInternError as error:
        steps = str((error.details or {}).get("field", "")).split(".")
        field = next((step for step in steps if step in form.fields), None)
        form.add_error(field, error.message)
        return None


def _row(connector: Any) -> dict[str, Any]:
    return {"connector": connector, "job": connector.newest[0] if connector.newest else None}


def _problems(connector: Connector) -> list[dict[str, str]]:
    """What can't be had, and why: lists first."""
    lists = Listing.objects.filter(job__connector=connector).exclude(problem="").order_by("pk")[:_SHOWN]
    sources = Source.objects.filter(connector=connector).exclude(problem="").order_by("pk")[:_SHOWN]
    told = [{"what": str(row), "name": row.title, "why": sentence(row.problem)} for row in lists]
    return told + [{"what": row.key, "name": row.title, "why": sentence(row.problem)} for row in sources]


def _rights(scope: Scope) -> dict[str, bool]:
    return {f"may_{action}": allows(scope.role, "connector", action) for action in ("sync", "change", "create")}
