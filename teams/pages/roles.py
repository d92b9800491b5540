"""The pages of roles: one role with its prompt, its groups and its runs; making, changing, copying, removing."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import OpenInternError
from openintern.pages import address, scope_of
from openintern.tenancy.access import access
from teams import figures, groups, history, previews, roles
from teams.blueprints.cloning import clone_role
from teams.models import Role
from teams.pages.charts import days_chart
from teams.pages.forms import RoleForm
from teams.pages.listing import Listing
from teams.pages.wording import told


@access("role", GET="create", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def new_role(request: HttpRequest) -> HttpResponse:
    """Show the form for a role; take what was written."""
    form = RoleForm(None, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and (made := _kept(form, request, None)):
        return redirect("team-role", made.pk)
    context = {**Listing.asked(request, "roles").context(request), "form": form, "opened": "new"}
    return render(request, "teams/role_form.html", context, status=400 if form.errors else 200)


@access("role", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def one_role(request: HttpRequest, role_id: str) -> HttpResponse:
    """Show a role, what an agent of it is given and what came of its runs; take a change."""
    role = roles.find(role_id)
    form = RoleForm(role, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _kept(form, request, role):
        return redirect("team-role", role_id)
    context = {**Listing.asked(request, "roles").context(request), **_about(request, role), "form": form}
    return render(request, "teams/role.html", context, status=400 if form.errors else 200)


@access("role", POST="create")
@require_POST
def copy_role(request: HttpRequest, role_id: str) -> HttpResponse:
    """Make a copy and open it."""
    return redirect("team-role", clone_role(scope_of(request), role_id))


@access("role", POST="delete")
@require_POST
def delete_role(request: HttpRequest, role_id: str) -> HttpResponse:
    """Remove a role."""
    roles.delete(scope_of(request), role_id)
    return redirect(address("teams", tab="roles"))


@access("role", POST="delete")
@require_POST
def delete_roles(request: HttpRequest) -> HttpResponse:
    """Remove the roles that were ticked."""
    roles.delete_many(scope_of(request), request.POST.getlist("ids"))
    return redirect(address("teams", tab="roles"))


def _about(request: HttpRequest, role: Role) -> dict[str, Any]:
    scope = scope_of(request)
    runs = figures.runs_of_role(scope, role)
    return {
        "role": role,
        "opened": role.pk,
        "preview": previews.of_role(role.pk),
        "its_groups": groups.of_role(scope, role.pk),
        "stats": roles.stats(scope, role.pk),
        "days": days_chart(figures.by_day(runs, at=timezone.now())),
        "runs": list(runs.select_related("session", "user")[:10]),
        "history": told(history.of(scope, role.pk, limit=20)),
    }


def _kept(form: RoleForm, request: HttpRequest, role: Role | None) -> Role | None:
    """Keep what was written; None where it is refused, which then stands in the form."""
    try:
        if role is None:
            return roles.create(scope_of(request), **form.told())
        return roles.change(scope_of(request), role.pk, **form.told())
    except OpenInternError as error:
        form.refuse(error)
        return None
