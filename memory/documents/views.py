"""The page of documents: send some, watch them being read, forget them, bring them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from memory import browsing
from memory.documents import accepting, shelving
from memory.keeping import may_change
from memory.models import Document
from openintern.errors import OpenInternError
from openintern.pages import address, render_frame, scope_of, way_back
from openintern.paging import newest_first
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope

ROWS = 25
_LOOKS = {"done": "completed", "failed": "failed", "queued": "pending", "reading": "running", "writing": "running"}


@dataclass(frozen=True)
class Row:
    """A document as the list shows it."""

    document: Document
    may_change: bool

    @property
    def look(self) -> str:
        """The icon and the colour of its state."""
        return "cancelled" if self.document.forgotten_at else _LOOKS[self.document.state]

    @property
    def is_found(self) -> bool:
        """Whether what it says can be looked at."""
        return self.document.is_remembered

    @property
    def is_lost(self) -> bool:
        """Whether it was read, and what it said is gone by another way than forgetting the document."""
        return self.document.state == Document.State.DONE and not self.is_found and not self.document.forgotten_at

    @property
    def action(self) -> str:
        """The name of the page that its button leads to."""
        return "restore-document" if self.document.forgotten_at else "forget-document"

    @property
    def content_url(self) -> str:
        """Where it can be had as it was sent."""
        return f"/api/documents/{self.document.pk}/content"


@access("document", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def documents(request: HttpRequest) -> HttpResponse:
    """Show the documents in sight; take new ones, files or a text."""
    scope = scope_of(request)
    if request.method == "POST":
        return _send(request, scope)
    return _show(request, scope)


@access("document", POST="delete")
@require_POST
def forget(request: HttpRequest, document_id: str) -> HttpResponse:
    """Forget a document with all that came from it."""
    shelving.forget(scope_of(request), document_id, at=timezone.now())
    return _again(request)


@access("document", POST="delete")
@require_POST
def restore(request: HttpRequest, document_id: str) -> HttpResponse:
    """Bring a forgotten document back."""
    shelving.bring_back(scope_of(request), document_id, at=timezone.now())
    return _again(request)


@access("document", POST="change")
@require_POST
def retry(request: HttpRequest, document_id: str) -> HttpResponse:
    """Read a document that failed once more."""
    shelving.try_again(scope_of(request), document_id)
    return _again(request)


def _again(request: HttpRequest) -> HttpResponse:
    """Go on with the list: its fragment follows the redirect too."""
    return redirect(way_back(request, default="documents"), permanent=False)


def _send(request: HttpRequest, scope: Scope) -> HttpResponse:
    """Take what the form holds; what can't be taken is told, and what was pasted isn't lost for it."""
    slug = request.POST.get("project", "")
    within, owner = browsing.within(scope, slug), "project" if slug else "user"
    taken, refused = 0, False
    for name, given in _given(request):
        try:
            accepting.accept(within, owner=owner, **given)
            taken += 1
        except OpenInternError as refusal:
            refused = True
            messages.error(request, f"{name}: {refusal.message}" if name else refusal.message)
    if taken:
        told = ngettext("%(number)d document is being read.", "%(number)d documents are being read.", taken)
        messages.success(request, told % {"number": taken})
    elif not refused:
        messages.error(request, _("Choose a file, or paste a text."))
        refused = True
    return _show(request, scope) if refused else redirect("documents")


def _given(request: HttpRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what was sent: each file, and the text that was pasted."""
    for file in request.FILES.getlist("file"):
        content = file.read(accepting.MAX_BYTES + 1)
        yield file.name or "", {"content": content, "name": file.name or "", "declared_type": file.content_type or ""}
    text = request.POST.get("text", "").replace("\r\n", "\n")
    if text.strip():
        name = request.POST.get("name", "").strip()
        yield name, {"content": text.encode("utf-8", "replace"), "name": name, "declared_type": "text/markdown"}


def _show(request: HttpRequest, scope: Scope) -> HttpResponse:
    query = request.GET
    state, forgotten = query.get("state", ""), query.get("forgotten") == "1"
    found = shelving.documents(scope, state=state, forgotten=forgotten)
    page = newest_first(found, cursor=query.get("cursor"), limit=ROWS)
    may_delete = allows(scope.role, "document", "delete")
    told = {"state": state, "forgotten": "1" if forgotten else ""}
    context = {
        "rows": [Row(each, may_delete and may_change(scope, each)) for each in page.rows],
        "has_unfinished": any(not each.is_final and not each.forgotten_at for each in page.rows),
        "chips": _chips(state, forgotten=forgotten),
        "is_filtered": bool(state or forgotten),
        "first_url": address("documents", **told) if "cursor" in query else "",
        "older_url": address("documents", **told, cursor=page.next_cursor) if page.next_cursor else "",
        "may_write": allows(scope.role, "document", "create"),
        "projects": browsing.projects(scope),
        "project": scope.project,
        "most_bytes": accepting.MAX_BYTES,
        "pasted": {name: request.POST.get(name, "") for name in ("name", "text")} if request.method == "POST" else None,
    }
    return render_frame(request, page="memory/documents.html", fragment="memory/_documents.html", context=context)


def _chips(state: str, *, forgotten: bool) -> list[dict[str, Any]]:
    return [
        {"label": _("all"), "url": address("documents"), "is_current": not state and not forgotten},
        {"label": _("failed"), "url": address("documents", state="failed"), "is_current": state == "failed"},
        {"label": _("forgotten"), "url": address("documents", forgotten="1"), "is_current": forgotten},
    ]
