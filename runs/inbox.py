"""The inbox page: what waits for a person, and deciding about it there, in the chat or in the trace."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from openintern.errors import Invalid
from openintern.pages import render_frame, scope_of, way_back
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from runs import approvals
from runs.approvals import Decision, Verdict
from runs.models import Approval
from runs.pages import questions


@access("approval", GET="read", POST="decide")
@require_http_methods(["GET", "HEAD", "POST"])
def inbox(request: HttpRequest) -> HttpResponse:
    """Show what waits for a decision, and what was decided; decide alike about those that were ticked."""
    scope = scope_of(request)
    if request.method == "POST":
        return _decide_many(request)
    context = {
        "questions": questions.waiting(scope),
        "decided": questions.decided(scope),
        "grants": questions.grants(scope),
        "may_decide": allows(scope.role, "approval", "decide"),
    }
    return render_frame(request, page="runs/approvals.html", fragment="runs/_approvals.html", context=context)


@access("approval", GET="read")
@require_safe
def count(request: HttpRequest) -> HttpResponse:
    """Show how many questions are open: the number beside the page's name in the navigation."""
    response = render(request, "runs/_approval_count.html", {"number": questions.count_waiting(scope_of(request))})
    response["Cache-Control"] = "no-store"
    return response


@access("approval", POST="decide")
@require_POST
def decide(request: HttpRequest, run_id: str, tool_call_id: str) -> HttpResponse:
    """Approve or reject one call; the run goes on when it was the last one open."""
    approvals.decide(scope_of(request), run_id, tool_call_id, _decision(request), at=timezone.now())
    return redirect(way_back(request, default="approvals"))


@access("approval", POST="decide")
@require_POST
def revoke(request: HttpRequest, approval_id: str) -> HttpResponse:
    """End a grant."""
    approvals.revoke(scope_of(request), approval_id, at=timezone.now())
    return redirect(way_back(request, default="approvals"))


def _decide_many(request: HttpRequest) -> HttpResponse:
    decision = _decision(request)
    outcomes = approvals.decide_many(scope_of(request), request.POST.getlist("ids"), decision, at=timezone.now())
    done = sum(outcome in {Approval.Status.APPROVED, Approval.Status.REJECTED} for outcome in outcomes.values())
    messages.info(request, ngettext("%(number)d call decided", "%(number)d calls decided", done) % {"number": done})
    if missed := len(outcomes) - done:
        messages.warning(
            request,
            ngettext("%(number)d was no longer open", "%(number)d were no longer open", missed) % {"number": missed},
        )
    return redirect("approvals")


def _decision(request: HttpRequest) -> Decision:
    """Read the button that was pressed, `approve:call` or `reject`, and what stands in the fields around it."""
    verdict, _colon, covers = request.POST.get("verdict", "").partition(":")
    if verdict not in list(Verdict):
        raise Invalid("verdict", _("Say approve or reject"))
    note = request.POST.get("note", "")
    if verdict == Verdict.REJECT:
        return Decision(verdict=Verdict.REJECT, note=note)
    return Decision(
        verdict=Verdict.APPROVE, covers=covers or Approval.Covers.CALL, arguments=_arguments(request), note=note
    )


def _arguments(request: HttpRequest) -> dict[str, Any] | None:
    """The arguments as they stand in the field, if it was there."""
    text = request.POST.get("arguments", "").strip()
    if not text:
        return None
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("arguments", _("The arguments are not valid JSON")) from error
    if not isinstance(arguments, dict):
        raise Invalid("arguments", _("The arguments have to be a JSON object"))
    return arguments
