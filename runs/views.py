"""The pages of runs: the chat, the list, the trace. Each makes one call into the domain and shows what comes of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from openintern.ids import new_id
from openintern.pages import address, render_frame, scope_of, way_back
from openintern.paging import Page, newest_first, whole_number
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from runs import lifecycle, pinning, repeat, sessions, settlement
from runs.events import EventType
from runs.files import uploads
from runs.files.attachments import MOST as MOST_FILES
from runs.listing import runs_matching
from runs.models import DEFAULT_AGENT, Run, Session
from runs.pages import lanes
from runs.pages import trace as traces
from runs.pages.choices import agent_choices
from runs.pages.counts import unfinished_by_status
from runs.pages.doubts import calls_in_doubt
from runs.pages.questions import questions_of
from runs.pages.relatives import relatives_of
from runs.pages.turns import model_name, turn_of, turns_of
from runs.pages.welcome import welcome

TURNS = 20
RUNS = 40


@access("run", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def chat(request: HttpRequest, session_key: str = "") -> HttpResponse:
    """Show a conversation, or the beginning of one; take the next task."""
    if request.method == "POST":
        return _give_task(request, session_key or new_id("s"))
    scope = scope_of(request)
    session = sessions.find_session(scope, session_key) if session_key else None
    page = _latest_runs(session, before=request.GET.get("before"))
    turns = turns_of(page.rows[::-1], scope=scope)
    context = {
        "session": session,
        "session_key": session_key or new_id("s"),
        "sessions": sessions.recent_sessions(scope),
        "turns": turns,
        "earlier_cursor": page.next_cursor,
        "is_busy": any(turn.is_live for turn in turns),
        "heard": next((turn for turn in turns if turn.is_heard), None),
        "most_files": MOST_FILES,
        "most_bytes": uploads.MAX_BYTES,
        "welcome": None if turns else welcome(scope),
        "may_act": _may_act(scope),
        "model_note": _model_note(),
        "choices": agent_choices(scope),
        "agent_id": page.rows[0].agent_id if page.rows else request.GET.get("agent", ""),
    }
    return render(request, "runs/chat.html", context)


@access("run", GET="read")
@require_safe
def turn(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show one task with its answer: what the chat puts in place of the live one when the run has ended."""
    scope = scope_of(request)
    return render(request, "runs/_turn.html", {"turn": turn_of(lifecycle.find_run(scope, run_id), scope=scope)})


@access("session", POST="change")
@require_POST
def rename_session(request: HttpRequest, session_key: str) -> HttpResponse:
    """Give a conversation another title."""
    sessions.rename_session(scope_of(request), session_key, title=request.POST.get("title", ""))
    return redirect("chat", session_key)


@access("session", POST="change")
@require_POST
def archive_session(request: HttpRequest, session_key: str) -> HttpResponse:
    """Take a conversation out of the list."""
    sessions.archive_session(scope_of(request), session_key)
    return redirect("chat")


@access("run", GET="read")
@require_safe
def runs(request: HttpRequest) -> HttpResponse:
    """Show the runs in sight, newest first, by status and by words."""
    scope, query = scope_of(request), request.GET.dict()
    page = newest_first(runs_matching(scope, query), cursor=query.get("cursor"), limit=RUNS)
    status, words = query.get("status", ""), query.get("q", "")
    context = {
        "page": page,
        "chips": _chips(scope, status=status, words=words),
        "status": status,
        "query": words,
        "is_later": "cursor" in query,
        "first_url": address("runs", status=status, q=words),
        "older_url": address("runs", status=status, q=words, cursor=page.next_cursor) if page.next_cursor else "",
        "has_unfinished": any(not run.is_final for run in page.rows),
        "may_act": _may_act(scope),
    }
    return render_frame(request, page="runs/runs.html", fragment="runs/_list.html", context=context)


@access("run", POST="cancel")
@require_POST
def cancel_run(request: HttpRequest, run_id: str) -> HttpResponse:
    """End a run. Whatever shows it on the page draws itself anew when it hears of it."""
    lifecycle.cancel_run(scope_of(request), run_id, at=timezone.now())
    if request.htmx:  # type: ignore[attr-defined]
        response = HttpResponse(status=204)
        return trigger_client_event(trigger_client_event(response, "runs-changed"), "trace-grown")
    return redirect(way_back(request, default="runs"))


@access("run", POST="inject")
@require_POST
def inject_message(request: HttpRequest, run_id: str) -> HttpResponse:
    """Tell a run that is under way what stands in the composer. Whoever watches it hears it by its stream."""
    lifecycle.inject_message(scope_of(request), run_id, message=request.POST.get("input", ""))
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponse(status=204)
    return redirect(way_back(request, default="chat"))


@access("run", POST="repin")
@require_POST
def repin_run(request: HttpRequest, run_id: str) -> HttpResponse:
    """Have a run go on with the current version of what it began with."""
    lifecycle.repin_run(scope_of(request), run_id)
    return redirect(way_back(request, default="runs"))


@access("effect", POST="settle")
@require_POST
def settle_effect(request: HttpRequest, run_id: str, tool_call_id: str) -> HttpResponse:
    """Say what became of a tool call in doubt; the run goes on."""
    settlement.settle_effect(scope_of(request), run_id, tool_call_id, outcome=request.POST.get("outcome", ""))
    return redirect(way_back(request, default="runs"))


@access("run", GET="read")
@require_safe
def trace(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show all that happened in a run: as the lanes of a team, as a waterfall of steps, or event by event."""
    scope = scope_of(request)
    run = lifecycle.find_run(scope, run_id)
    after = whole_number(request.GET.get("cursor"), field="cursor", default=0, least=0, most=2**31 - 1)
    shows_events = request.GET.get("view") == "events"
    team = None if shows_events or request.GET.get("view") == "steps" else lanes.team_of(run, now=timezone.now())
    context = {
        "run": run,
        "model": model_name(run),
        "view": "events" if shows_events else "team" if team else "steps",
        "team": team,
        "may_act": _may_act(scope),
        "doubts": calls_in_doubt([run]).get(run.pk, []),
        "questions": questions_of([run], scope).get(run.pk, []),
        "relatives": relatives_of(run, scope),
        "differs_in": pinning.differences(run) if run.status != Run.Status.RUNNING else [],
        "timeline": traces.timeline_of(run, after=0 if shows_events else after, now=timezone.now()),
        **(_events_view(request, run, after=after) if shows_events else {"export_url": _export_url(run)}),
    }
    if not shows_events and context["timeline"].goes_on_after:
        view = "steps" if "team" in run.config else ""
        context["later_url"] = address("trace", run.pk, view=view, cursor=context["timeline"].goes_on_after)
    return render_frame(request, page="runs/trace.html", fragment="runs/_trace.html", context=context)


def _latest_runs(session: Session | None, *, before: str | None) -> Page:
    """The runs that make up a conversation, newest first: neither those rolled back nor those that runs delegated to."""
    if session is None:
        return Page([], None)
    runs = session.runs.filter(in_conversation=True, parent=None).select_related("session", "user")
    return newest_first(runs, cursor=before, limit=TURNS)


def _give_task(request: HttpRequest, session_key: str) -> HttpResponse:
    """Start a run with the task that was written, or with that of an earlier run once more."""
    scope = scope_of(request)
    if repeated := request.POST.get("retry"):
        run = repeat.repeat_run(scope, repeated, session_key=session_key, at=timezone.now())
    else:
        run = _start(scope, request, session_key)
    if run.project_id != (scope.project.pk if scope.project else None):
        # the team of a project works, and talks, in that project
        page = reverse("trace", args=[run.pk])
        return HttpResponseClientRedirect(page) if request.htmx else redirect(page)  # type: ignore[attr-defined]
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "runs/_turn.html", {"turn": turn_of(run, scope=scope)})
    return redirect("chat", session_key)


@transaction.atomic
def _start(scope: Scope, request: HttpRequest, session_key: str) -> Run:
    """Keep the files that came with the form, beside those that the page has sent before it, and start the run."""
    kept = [
        uploads.keep(
            scope, name=file.name or "", content=file.read(uploads.MAX_BYTES + 1), declared_type=file.content_type or ""
        ).pk
        for file in request.FILES.getlist("files")[: MOST_FILES + 1]
    ]
    attachments = [*request.POST.getlist("attachments"), *kept]
    text = request.POST.get("input", "")
    return lifecycle.create_run(
        scope,
        text=text,
        session_key=session_key,
        agent_id=request.POST.get("agent_id") or DEFAULT_AGENT,
        attachments=attachments,
        at=timezone.now(),
    )


def _may_act(scope: Scope) -> bool:
    return allows(scope.role, "run", "create")


def _model_note() -> str:
    """Say who answers. The demo model is named as what it is."""
    model = settings.CONFIG.llm
    if model.provider == "demo":
        return _("Demo model: no key is set, answers come from the files alone")
    return f"{model.provider}/{model.model}"


def _chips(scope: Scope, *, status: str, words: str) -> list[dict[str, Any]]:
    """A chip for each status; a number on those that want attention."""
    numbers = unfinished_by_status(scope)
    every = [("", _("all")), *Run.Status.choices]
    return [
        {
            "label": label,
            "url": address("runs", status=value, q=words),
            "is_current": value == status,
            "number": numbers.get(value),
        }
        for value, label in every
    ]


def _events_view(request: HttpRequest, run: Run, *, after: int) -> dict[str, Any]:
    kind = request.GET.get("type", "")
    rows = traces.event_rows(scope_of(request), run.pk, after=after, type=kind)
    later = (
        address("trace", run.pk, view="events", type=kind, cursor=rows[-1].seq) if len(rows) == traces.EVENTS else ""
    )
    types = [name for name in EventType if name != EventType.LLM_TOKEN]
    return {
        "events": rows,
        "type": kind,
        "event_types": types,
        "later_url": later,
        "export_url": _export_url(run, type=kind),
    }


def _export_url(run: Run, **query: Any) -> str:
    return f"/api/runs/{run.pk}/export?" + urlencode(
        {"format": "json", **{name: value for name, value in query.items() if value}}
    )
