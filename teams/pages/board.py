"""The page of a group's board: what its members and its people have put down, pinned ones first; adding and correcting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from openintern.errors import Invalid, OpenInternError
from openintern.pages import address, render_frame, scope_of
from openintern.paging import newest_first
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from teams import groups
from teams.board import keeping
from teams.board.keeping import Wanted
from teams.models import BoardEntry, Group
from teams.models.board import LONGEST_ENTRY

SHOWN: Final = 50
_MOST_PINNED: Final = 20
_MOST_GROUPS: Final = 200
Kind = BoardEntry.Kind
#: How far a to-do is.
STATES: Final[Mapping[str, Any]] = {
    BoardEntry.Status.OPEN: gettext_lazy("not begun"),
    BoardEntry.Status.DOING: gettext_lazy("being done"),
    BoardEntry.Status.DONE: gettext_lazy("done"),
}


@dataclass(frozen=True)
class Shown:
    """An entry as somebody sees it."""

    entry: BoardEntry
    author: str
    may_change: bool
    may_say_how_far: bool
    rests_on: tuple[str, ...]  # other entries

    @property
    def origin_url(self) -> str:
        """Where it was said: the event of its run, or the run; "" for what a person wrote."""
        if not self.entry.run_id:
            return ""
        if self.entry.event_seq is None:
            return address("trace", self.entry.run_id)
        seq = self.entry.event_seq
        return address("trace", self.entry.run_id, view="events", cursor=seq - 1) + f"#event-{seq}-body"


@access("board", GET="read")
@require_safe
def boards(request: HttpRequest) -> HttpResponse:
    """Show the board of the newest group in sight."""
    newest = groups.visible(scope_of(request)).first()
    return redirect("board", newest.pk) if newest else render(request, "teams/board.html", {"group": None})


@access("board", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def one_board(request: HttpRequest, group_id: str) -> HttpResponse:
    """Show a board; take what somebody puts on it."""
    scope = scope_of(request)
    group = groups.find(scope, group_id)
    problem = ""
    if request.method == "POST":
        problem = _put(scope, group, request)
        if not problem:
            return redirect("board", group.pk)
    response = render_frame(
        request,
        page="teams/board.html",
        fragment="teams/_board.html",
        context=_context(request, scope, group) | {"problem": problem, "said": request.POST},
    )
    response.status_code = 400 if problem else 200
    return response


@access("board", POST="change")
@require_POST
def change_entry(request: HttpRequest, group_id: str, entry_id: str) -> HttpResponse:
    """Say how far a to-do is, correct an entry, pin it or no longer, take it away."""
    scope, told = scope_of(request), request.POST
    try:
        match told.get("act"):
            case "status":
                keeping.change(scope, group_id, entry_id, status=told.get("status", ""))
            case "text":
                version = int(told["version"]) if told.get("version", "").isdecimal() else None
                keeping.change(scope, group_id, entry_id, version=version, text=told.get("text", ""))
            case "pin" | "unpin" as act:
                keeping.pin(scope, group_id, entry_id, is_pinned=act == "pin")
            case "remove":
                keeping.remove(scope, group_id, entry_id)
            case _:
                raise Invalid("act", "Nothing that can be done with an entry")
    except OpenInternError as error:
        if error.code == "NOT_FOUND":
            raise
        messages.error(request, error.message)
    return redirect("board", group_id)


def _put(scope: Scope, group: Group, request: HttpRequest) -> str:
    """Put on the board what the form says; return why that isn't possible, or ""."""
    told = request.POST
    details: dict[str, Any] = {name: told[name] for name in ("rationale", "source") if told.get(name, "").strip()}
    try:
        keeping.add(
            scope,
            group.pk,
            kind=told.get("kind") or Kind.NOTE,
            text=told.get("text", ""),
            role_id=told.get("role_id", ""),
            **details,
        )
    except OpenInternError as error:
        return error.message
    messages.success(request, _("It is on the board"))
    return ""


def _context(request: HttpRequest, scope: Scope, group: Group) -> dict[str, Any]:
    state = keeping.standing(group).state  # before the entries: what comes in between is news
    kind, words = request.GET.get("kind", ""), request.GET.get("q", "")[:200]
    cursor = request.GET.get("cursor")
    page = newest_first(
        keeping.on_board(group, Wanted(kind=kind, words=words, pinned=False)), cursor=cursor, limit=SHOWN
    )
    pinned = [] if cursor else list(keeping.on_board(group, Wanted(kind=kind, words=words, pinned=True))[:_MOST_PINNED])
    decides = allows(scope.role, "board", "decide")
    return {
        "group": group,
        "state": state,
        "groups": groups.visible(scope)[:_MOST_GROUPS],
        "shown": _shown(scope, [*pinned, *page.rows]),
        "chips": [
            {"label": label, "url": address("board", group.pk, kind=value, q=words), "is_current": value == kind}
            for value, label in [("", _("all")), *Kind.choices]
        ],
        "words": words,
        "kinds": [choice for choice in Kind.choices if decides or choice[0] != Kind.DECISION],
        "states": STATES.items(),
        "roles": [member.role for member in groups.members_of(group)],
        "most": LONGEST_ENTRY,
        "may_write": allows(scope.role, "board", "create"),
        "may_pin": decides,
        "here": address("board", group.pk, kind=kind, q=words, cursor=cursor or ""),
        "older_url": address("board", group.pk, kind=kind, q=words, cursor=page.next_cursor)
        if page.next_cursor
        else "",
    }


def _shown(scope: Scope, entries: Iterable[BoardEntry]) -> list[Shown]:
    writes = allows(scope.role, "board", "change")
    return [
        Shown(
            entry,
            author=author_of(entry),
            may_change=keeping.may_change(scope, entry),
            may_say_how_far=writes and entry.kind == Kind.TODO,
            rests_on=tuple(str(one) for one in entry.details.get("evidence", ())),
        )
        for entry in entries
    ]


def author_of(entry: BoardEntry) -> str:
    """Who wrote it: a person, perhaps as a role, or a member in a run."""
    person = entry.user.username if entry.user else ""
    return " · ".join(name for name in (person, entry.role_name) if name)
