"""The page of change sets: what could be tidied up, and what was."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from memory.consolidation import deciding
from memory.models import State
from memory.pages import proposals
from openintern.errors import Invalid
from openintern.pages import address, render_frame, scope_of
from openintern.paging import newest_first
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows

SETS = 5


@access("memory", GET="read")
@require_safe
def change_sets(request: HttpRequest) -> HttpResponse:
    """Show what passes have proposed, or what was decided."""
    scope, query = scope_of(request), request.GET
    shows_decided = query.get("decided") == "1"
    rows = deciding.change_sets(scope)
    rows = rows.exclude(state=State.PROPOSED) if shows_decided else rows.filter(state=State.PROPOSED)
    page = newest_first(rows, cursor=query.get("cursor"), limit=SETS)
    decided = "1" if shows_decided else ""
    context = {
        "sets": proposals.shown(page.rows, scope),
        "shows_decided": shows_decided,
        "may_act": allows(scope.role, "memory", "change"),
        "older_url": address("memory-changes", decided=decided, cursor=page.next_cursor) if page.next_cursor else "",
    }
    return render_frame(request, page="memory/changes.html", fragment="memory/_changes.html", context=context)


@access("memory", GET="read")
@require_safe
def count(request: HttpRequest) -> HttpResponse:
    """Show how many change sets wait: the number beside the link to them."""
    number = deciding.change_sets(scope_of(request), state=State.PROPOSED).count()
    response = render(request, "memory/_change_count.html", {"number": number})
    response["Cache-Control"] = "no-store"
    return response


@access("memory", POST="change")
@require_POST
def accept(request: HttpRequest, change_set_id: uuid.UUID) -> HttpResponse:
    """Make the changes that were ticked."""
    chosen = request.POST.getlist("changes")
    if not all(each.isascii() and each.isdigit() and len(each) < 19 for each in chosen):
        raise Invalid("changes", _("Not changes of this set"))
    deciding.accept(scope_of(request), change_set_id, chosen=[int(each) for each in chosen], at=timezone.now())
    messages.success(request, _("Done. It can be rolled back from the list of decisions."))
    return redirect("memory-changes")


@access("memory", POST="change")
@require_POST
def reject(request: HttpRequest, change_set_id: uuid.UUID) -> HttpResponse:
    """Leave everything as it is."""
    deciding.reject(scope_of(request), change_set_id, at=timezone.now())
    messages.success(request, _("Everything stays as it is."))
    return redirect("memory-changes")


@access("memory", POST="change")
@require_POST
def roll_back(request: HttpRequest, change_set_id: uuid.UUID) -> HttpResponse:
    """Put back what was changed."""
    deciding.roll_back(scope_of(request), change_set_id, at=timezone.now())
    messages.success(request, _("Rolled back: everything is as it was."))
    return redirect(address("memory-changes", decided="1"))
