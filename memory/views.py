"""The pages of memories. Each makes one call into the domain and shows what comes of it."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from memory import browsing, forms, keeping
from memory.keeping import Wanted
from memory.models import Tier
from memory.pages import rows
from openintern.pages import address, render_frame, scope_of
from openintern.paging import newest_first, whole_number
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope

ROWS = 25
MOST_ROWS = 100
#: Characters of a memory that its page shows unless told.
SHOWN = 20_000


@access("memory", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def memories(request: HttpRequest) -> HttpResponse:
    """Show the memories in sight, or what a search finds in them; take a new one."""
    scope = scope_of(request)
    if request.method == "POST":
        return _keep(request, scope)
    return _show(request, scope, form=forms.NewMemory(projects=browsing.projects(scope), project=scope.project))


@access("memory", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def one_memory(request: HttpRequest, memory_id: uuid.UUID) -> HttpResponse:
    """Show one memory, where it comes from and what became of it; take a correction."""
    scope = scope_of(request)
    portrait = browsing.portrait(scope, memory_id, at=timezone.now())
    form = forms.Correction.of(portrait.memory)
    if request.method == "POST":
        form = forms.Correction(request.POST)
        if form.is_valid():
            keeping.correct(scope, memory_id, **form.changed(portrait.memory))
            return redirect("memory-item", memory_id)
    memory, is_whole = portrait.memory, "whole" in request.GET
    context = {
        "portrait": portrait,
        "memory": memory,
        "text": memory.text if is_whole else memory.text[:SHOWN],
        "hidden": 0 if is_whole else max(0, len(memory.text) - SHOWN),
        "trace_url": rows.trace_url(memory),
        "form": form,
        "may_change": allows(scope.role, "memory", "change") and keeping.may_change(scope, memory),
        "is_editable": len(memory.text) <= forms.EDITABLE,
    }
    return render(request, "memory/memory.html", context)


@access("memory", POST="change")
@require_POST
def supersede(request: HttpRequest, memory_id: uuid.UUID) -> HttpResponse:
    """Put a new memory in the place of an old one."""
    text = request.POST.get("text", "").replace("\r\n", "\n")
    new = keeping.replace(scope_of(request), memory_id, text=text)
    messages.success(request, _("The new memory stands in the old one’s place."))
    return redirect("memory-item", new.pk)


@access("memory", POST="delete")
@require_POST
def forget(request: HttpRequest, memory_id: uuid.UUID) -> HttpResponse:
    """Forget a memory and what was derived from it."""
    keeping.forget(scope_of(request), memory_id, at=timezone.now())
    messages.success(request, _("Forgotten. It can be brought back for 30 days."))
    return redirect("memory-item", memory_id)


@access("memory", POST="delete")
@require_POST
def restore(request: HttpRequest, memory_id: uuid.UUID) -> HttpResponse:
    """Bring a forgotten memory back, with what was forgotten along with it."""
    keeping.bring_back(scope_of(request), memory_id, at=timezone.now())
    messages.success(request, _("It is remembered again."))
    return redirect("memory-item", memory_id)


def _keep(request: HttpRequest, scope: Scope) -> HttpResponse:
    form = forms.NewMemory(request.POST, projects=browsing.projects(scope))
    if not form.is_valid():
        return _show(request, scope, form=form)
    given = {**form.cleaned_data, "text": form.cleaned_data["text"].replace("\r\n", "\n")}
    slug = given.pop("project")
    memory = keeping.keep(browsing.within(scope, slug), **given, owner="project" if slug else "user")
    messages.success(request, _("Remembered."))
    return redirect("memory-item", memory.pk)


def _show(request: HttpRequest, scope: Scope, *, form: forms.NewMemory) -> HttpResponse:
    query = request.GET
    words, wanted = query.get("q", "").strip(), _wanted(query)
    context = {
        "query": words,
        "wanted": wanted,
        "tiers": _chips(query, "tier", [("", _("all tiers")), *Tier.choices]),
        "owners": [("", _("mine and my projects’")), ("user", _("mine")), ("project", _("projects’"))],
        "origins": _origins(query, wanted),
        "source_types": browsing.source_types(scope),
        "projects": browsing.projects(scope),
        "project": scope.project,
        "form": form,
        "may_write": allows(scope.role, "memory", "create"),
        "is_filtered": wanted != keeping.EVERYTHING or bool(words),
        **(_hits(request, words, wanted) if words and not wanted.forgotten else _page(scope, words, wanted, query)),
    }
    return render_frame(request, page="memory/memories.html", fragment="memory/_list.html", context=context)


def _wanted(query: QueryDict) -> Wanted:
    return Wanted(
        tier=query.get("tier", ""),
        owner=query.get("owner", ""),
        source_type=query.get("source", ""),
        run_id=query.get("run", ""),
        document=query.get("document", ""),
        forgotten=query.get("forgotten") == "1",
    )


def _hits(request: HttpRequest, words: str, wanted: Wanted) -> dict[str, Any]:
    query, is_typing = request.GET, request.headers.get("HX-Trigger-Name") == "q"
    limit = whole_number(query.get("limit"), field="limit", default=ROWS, least=1, most=MOST_ROWS)
    answer = browsing.found(scope_of(request), words, wanted, limit=limit, is_typing=is_typing)
    has_more = len(answer.hits) == limit and limit < MOST_ROWS
    return {
        "rows": rows.of_hits([hit for hit in answer.hits if hit.score > 0]),  # nothing speaks for the others
        "missing_vectors": answer.missing_vectors,
        "more_url": _with(query, limit=str(min(limit + ROWS, MOST_ROWS))) if has_more else "",
    }


def _page(scope: Scope, words: str, wanted: Wanted, query: QueryDict) -> dict[str, Any]:
    page = newest_first(browsing.listed(scope, wanted, words=words), cursor=query.get("cursor"), limit=ROWS)
    return {
        "rows": rows.of_list(page.rows),
        "missing_vectors": browsing.count_missing_vectors(scope),
        "first_url": _with(query, cursor="") if "cursor" in query else "",
        "older_url": _with(query, cursor=page.next_cursor) if page.next_cursor else "",
    }


def _chips(query: QueryDict, name: str, choices: list[Any]) -> list[dict[str, Any]]:
    return [
        {"label": label, "url": _with(query, **{name: value}), "is_current": query.get(name, "") == value}
        for value, label in choices
    ]


def _origins(query: QueryDict, wanted: Wanted) -> list[dict[str, Any]]:
    """What the list is narrowed to beside the chips, each with the address without it."""
    names = {"source_type": "source", "run_id": "run", "document": "document"}
    return [
        {"name": names[name], "value": value, "url": _with(query, **{names[name]: ""})}
        for name, value in asdict(wanted).items()
        if name in names and value
    ]


def _with(query: QueryDict, **changed: str | None) -> str:
    """Return this page's address with some parameters changed; what leads to another list begins at its beginning."""
    told = {**query.dict(), **changed}
    if "cursor" not in changed:
        told.pop("cursor", None)
    if "limit" not in changed:
        told.pop("limit", None)
    return address("memory", **told)
