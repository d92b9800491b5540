"""The pages of schedules: what is due when, what came of it, and keeping them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import Invalid, OpenInternError
from openintern.pages import scope_of
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from runs.briefs import role_choices, team_choices
from runs.models import Schedule
from runs.scheduling import cron, keeping

_TEXTS = ("name", "input", "cron", "time_zone", "role_id", "group_id")
_FIRINGS = 50  # on the page of one schedule


@access("schedule", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def schedules(request: HttpRequest) -> HttpResponse:
    """Show the schedules in sight; keep a new one."""
    scope, at = scope_of(request), timezone.now()
    problem = ""
    if request.method == "POST":
        try:
            made = keeping.create(scope, _told(request.POST), at=at)
        except OpenInternError as error:
            problem = _problem(error)
        else:
            messages.success(request, _("%(name)s is scheduled") % {"name": made.name})
            return redirect("schedules")
    context = {
        "schedules": [
            {"it": each, "may_settle": _may_settle(scope, each.row)}
            for each in keeping.shown(scope, keeping.schedules(scope), at=at, firings=1)
        ],
        "may_create": allows(scope.role, "schedule", "create"),
        "may_set_zone": allows(scope.role, "time_zone", "change"),
        "problem": problem,
        "said": request.POST,
        **_choices(scope),
    }
    return render(request, "runs/schedules.html", context, status=400 if problem else 200)


@access("schedule", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def schedule(request: HttpRequest, schedule_id: str) -> HttpResponse:
    """Show one schedule with what came of it; change one's own."""
    scope, at = scope_of(request), timezone.now()
    found = keeping.find(scope, schedule_id)
    problem = ""
    if request.method == "POST":
        try:
            keeping.change(scope, schedule_id, _told(request.POST), at=at)
        except OpenInternError as error:
            problem = _problem(error)
        else:
            messages.success(request, _("%(name)s is changed") % {"name": found.name})
            return redirect("schedule", schedule_id)
    [each] = keeping.shown(scope, [found], at=at, firings=_FIRINGS)
    context = {
        "it": each,
        "may_settle": _may_settle(scope, found),
        "may_change": found.user_id == scope.user.pk and allows(scope.role, "schedule", "change"),
        "problem": problem,
        "said": request.POST or {name: getattr(found, name) for name in _TEXTS},
        **_choices(scope),
    }
    return render(request, "runs/schedule.html", context, status=400 if problem else 200)


@access("schedule", POST="change")
@require_POST
def act(request: HttpRequest, schedule_id: str, action: str) -> HttpResponse:
    """Let a schedule rest, have it go on, remove it."""
    scope = scope_of(request)
    match action:
        case "pause":
            keeping.pause(scope, schedule_id)
        case "go-on":
            keeping.go_on(scope, schedule_id, at=timezone.now())
        case "remove":
            keeping.remove(scope, schedule_id)
        case _:
            raise Invalid("action", "Unknown action")
    return redirect("schedules")


@access("time_zone", POST="change")
@require_POST
def time_zone(request: HttpRequest) -> HttpResponse:
    """Set the organisation's time zone."""
    keeping.set_zone(scope_of(request), str(request.POST.get("time_zone", "")).strip(), at=timezone.now())
    messages.success(request, _("The time zone is set"))
    return redirect("schedules")


def _told(form: QueryDict) -> dict[str, Any]:
    return {name: str(form.get(name, "")) for name in _TEXTS if name in form}


def _problem(error: OpenInternError) -> str:
    return f"{(error.details or {}).get('field', '')}: {_(error.message)}".removeprefix(": ")


def _may_settle(scope: Scope, row: Schedule) -> bool:
    return allows(scope.role, "schedule", "change") and (row.user_id == scope.user.pk or scope.sees_everything)


def _choices(scope: Scope) -> dict[str, Any]:
    return {
        "roles": role_choices(),
        "teams": team_choices(scope),
        "zones": cron.zones(),
        "org_zone": scope.org.time_zone,
    }
