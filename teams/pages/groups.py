"""The pages of groups: one group with its members, its work and its settings; making, changing, copying, removing."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import Invalid, OpenInternError
from openintern.ids import random_text
from openintern.pages import scope_of
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from runs import lifecycle
from teams import figures, group_runs, groups, history, members, previews
from teams.blueprints.cloning import clone_group
from teams.models import Group
from teams.pages.charts import days_chart, durations_chart
from teams.pages.forms import GroupForm, TaskForm
from teams.pages.listing import Listing, names_of_roles
from teams.pages.wording import told


@access("group", GET="create", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def new_group(request: HttpRequest) -> HttpResponse:
    """Show the form for a group; take what was written."""
    form = GroupForm(scope_of(request), None, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and (made := _kept(form, request, None)):
        return redirect("team-group", made.pk)
    context = {**Listing.asked(request, "groups").context(request), "form": form, "opened": "new"}
    return render(request, "teams/group_form.html", context, status=400 if form.errors else 200)


@access("group", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def one_group(request: HttpRequest, group_id: str) -> HttpResponse:
    """Show a group, who is in it and what came of its runs; take a change of its settings."""
    group = groups.find(scope_of(request), group_id)
    form = GroupForm(scope_of(request), group, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _kept(form, request, group):
        return redirect("team-group", group_id)
    return _page(request, group, form=form, task=TaskForm())


@access("run", POST="create")
@require_POST
def start_run(request: HttpRequest, group_id: str) -> HttpResponse:
    """Give the team a task and show its run."""
    scope = scope_of(request)
    group = groups.find(scope, group_id)
    task = TaskForm(request.POST)
    if task.is_valid():
        try:
            run = lifecycle.create_run(
                scope,
                text=task.cleaned_data["input"],
                session_key=task.cleaned_data["session_key"] or f"s_{random_text(12)}",
                group_id=group.pk,
                at=timezone.now(),
            )
        except OpenInternError as error:
            task.add_error("input", error.message)
        else:
            return redirect("trace", run.pk)
    return _page(request, group, form=GroupForm(scope, group), task=task)


@access("group", POST="change")
@require_POST
def add_member(request: HttpRequest, group_id: str) -> HttpResponse:
    """Take the chosen role into the group."""
    members.add(scope_of(request), group_id, role_id=request.POST.get("role_id", ""))
    return _to_members(group_id)


@access("group", POST="change")
@require_POST
def change_member(request: HttpRequest, group_id: str, member_id: str) -> HttpResponse:
    """Move a member up or down, let it lead or not any more, or take it out."""
    scope = scope_of(request)
    match request.POST.get("act"):
        case "up":
            members.move(scope, group_id, member_id, by=-1)
        case "down":
            members.move(scope, group_id, member_id, by=1)
        case "lead":
            groups.change(scope, group_id, lead_id=member_id)
        case "unlead":
            groups.change(scope, group_id, lead_id=None)
        case "remove":
            members.remove(scope, group_id, member_id)
        case _:
            raise Invalid("act", "Must be up, down, lead, unlead or remove")
    return _to_members(group_id)


@access("group", POST="create")
@require_POST
def copy_group(request: HttpRequest, group_id: str) -> HttpResponse:
    """Make a copy and open it."""
    return redirect("team-group", clone_group(scope_of(request), group_id))


@access("group", POST="delete")
@require_POST
def delete_group(request: HttpRequest, group_id: str) -> HttpResponse:
    """Remove a group."""
    groups.delete(scope_of(request), group_id)
    return redirect("teams")


@access("group", POST="delete")
@require_POST
def delete_groups(request: HttpRequest) -> HttpResponse:
    """Remove the groups that were ticked."""
    groups.delete_many(scope_of(request), request.POST.getlist("ids"))
    return redirect("teams")


def _page(request: HttpRequest, group: Group, *, form: GroupForm, task: TaskForm) -> HttpResponse:
    context = {
        **Listing.asked(request, "groups").context(request),
        **_about(request, group),
        "form": form,
        "task": task,
    }
    return render(request, "teams/group.html", context, status=400 if form.errors or task.errors else 200)


def _about(request: HttpRequest, group: Group) -> dict[str, Any]:
    scope = scope_of(request)
    there = groups.members_of(group)
    lead = groups.lead_of(group, there)
    inside = {member.role_id for member in there}
    runs = list(group_runs.history(scope, group.pk).select_related("session", "user")[: figures.RECENT])
    return {
        "group": group,
        "opened": group.pk,
        "members": [
            {
                "row": one,
                "leads": one == lead,
                "is_chosen": one.pk == group.lead_id,
                "first": n == 0,
                "last": one == there[-1],
            }
            for n, one in enumerate(there)
        ],
        "joinable": [role for role in names_of_roles() if role.pk not in inside],
        "previews": previews.of_members(scope, group),
        "stats": group_runs.stats(scope, group.pk),
        "days": days_chart(figures.by_day(group_runs.history(scope, group.pk), at=timezone.now())),
        "durations": durations_chart(runs),
        "runs": runs[:10],
        "history": told(history.of(scope, group.pk, limit=20)),
        "may_start": allows(scope.role, "run", "create"),
    }


def _to_members(group_id: str) -> HttpResponse:
    return redirect(reverse("team-group", args=[group_id]) + "#members")


def _kept(form: GroupForm, request: HttpRequest, group: Group | None) -> Group | None:
    """Keep what was written; None where it is refused, which then stands in the form."""
    told_now = dict(form.cleaned_data)
    version = told_now.pop("version")
    try:
        if group is None:
            return groups.create(scope_of(request), **told_now)
        return groups.change(scope_of(request), group.pk, version=version, **told_now)
    except OpenInternError as error:
        form.refuse(error)
        return None
