"""The page of what an entry of a board said before: who changed what, when, and word by word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from memory.models import Tier
from openintern.pages import address, scope_of
from openintern.paging import whole_number
from openintern.tenancy.access import access
from openintern.text import shorten
from teams import groups
from teams.board import keeping
from teams.models import BoardEntry, BoardVersion
from teams.pages.board import STATES, author_of
from teams.pages.differences import Piece, differences

SHOWN: Final = 10
_LONGEST_DETAIL: Final = 300
#: What is told of an entry beside its text, as people call it.
_LABELS: Final[Mapping[str, Any]] = {
    "title": gettext_lazy("Title"),
    "rationale": gettext_lazy("Why"),
    "source": gettext_lazy("Source"),
}


@dataclass(frozen=True)
class Change:
    """One thing beside the text that became another."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Shown:
    """One version: who put it there and when, and how it differs from the one before; the first is all new."""

    number: int
    by: str
    at: datetime
    is_current: bool
    pieces: list[Piece]
    changes: list[Change]

    @property
    def is_first(self) -> bool:
        return self.number == 1


@access("board", GET="read")
@require_safe
def entry_versions(request: HttpRequest, group_id: str, entry_id: str) -> HttpResponse:
    """Show an entry's versions, the latest first."""
    scope = scope_of(request)
    before = whole_number(request.GET.get("before"), field="before", default=0, least=0, most=2**31 - 1)
    entry = keeping.find(scope, group_id, entry_id)
    earlier = keeping.versions(entry, before=before or None, limit=SHOWN + 1)
    shown = _shown(entry, earlier, begins_now=not before)[:SHOWN]
    context = {
        "group": groups.find(scope, group_id),
        "entry": entry,
        "shown": shown,
        "is_later": bool(before),
        "older_url": address("entry-versions", group_id, entry_id, before=shown[-1].number)
        if shown and not shown[-1].is_first
        else "",
    }
    return render(request, "teams/entry_versions.html", context)


def _shown(entry: BoardEntry, earlier: Sequence[BoardVersion], *, begins_now: bool) -> list[Shown]:
    """Set each version against the one before it; one whose forerunner isn't at hand is left to the next page."""
    rows: list[BoardEntry | BoardVersion] = [*([entry] if begins_now else []), *earlier]
    followed = [
        _version(row, entry, before=before)
        for row, before in zip(rows, earlier[0 if begins_now else 1 :], strict=False)
    ]
    return [*followed, *([_version(rows[-1], entry, before=None)] if rows and _number(rows[-1]) == 1 else [])]


def _version(row: BoardEntry | BoardVersion, entry: BoardEntry, *, before: BoardVersion | None) -> Shown:
    return Shown(
        number=_number(row),
        by=before.changed_by if before else author_of(entry),
        at=before.at if before else entry.created_at,
        is_current=row is entry,
        pieces=differences(before.text, row.text) if before else [Piece("same", row.text)],
        changes=_changes(before, row) if before else [],
    )


def _number(row: BoardEntry | BoardVersion) -> int:
    return row.version if isinstance(row, BoardEntry) else row.number


def _changes(before: BoardVersion, after: BoardEntry | BoardVersion) -> list[Change]:
    """What changed beside the text, in words."""
    pairs = [(label, one, told[label]) for told in [_told(after)] for label, one in _told(before).items()]
    return [Change(label, one, other) for label, one, other in pairs if one != other] + _changed_details(before, after)


def _told(row: BoardEntry | BoardVersion) -> dict[str, str]:
    return {
        _("Kind"): str(BoardEntry.Kind(row.kind).label),
        _("Status"): str(STATES.get(row.status, "")),
        _("Pinned"): _("yes") if row.tier == Tier.CORE else _("no"),
        _("Importance"): f"{row.importance:g}",
    }


def _changed_details(before: BoardVersion, after: BoardEntry | BoardVersion) -> list[Change]:
    names = [
        name for name in {**before.details, **after.details} if before.details.get(name) != after.details.get(name)
    ]
    return [
        Change(str(_LABELS.get(name, name)), _said(before.details.get(name)), _said(after.details.get(name)))
        for name in names
    ]


def _said(value: Any) -> str:
    """A detail on a line; what isn't text as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shorten(text, _LONGEST_DETAIL)
