"""What people do with a group's board: read, add, correct, pin, remove. Pages, API, admin and commands all call these.

Whoever sees the group reads its board and adds to it. One's own entries one corrects and removes, and anybody says how far
a to-do is; what others wrote, what was decided and what is pinned is an admin's to change. Who speaks as a role of the
group needs that role to be in it, and for a decision to lead it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Count, Max, QuerySet, Sum

from memory.models import Tier
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from teams import groups, roles
from teams.board import entries
from teams.board.entries import Author, Post
from teams.models import BoardEntry, BoardVersion, Group

Kind = BoardEntry.Kind

#: What people may say of an entry beside its text, and how long that may be.
DETAILS: Final[Mapping[str, int]] = {"title": 200, "rationale": 4_000, "source": 500}
LONGEST_METADATA: Final = 4_000  # characters, as JSON
_MOST_VERSIONS: Final = 100


@dataclass(frozen=True)
class Wanted:
    """Which entries of a board somebody wants to see; what isn't given leaves all."""

    kind: str = ""
    status: str = ""
    pinned: bool | None = None
    run_id: str = ""
    words: str = ""

    def __post_init__(self) -> None:
        if self.kind and self.kind not in Kind.values:
            raise Invalid("kind", f"Must be one of {', '.join(Kind.values)}")
        if self.status and self.status not in BoardEntry.Status.values:
            raise Invalid("status", f"Must be one of {', '.join(BoardEntry.Status.values)}")


EVERYTHING: Final = Wanted()


def board(scope: Scope, group_id: str, wanted: Wanted = EVERYTHING) -> QuerySet[BoardEntry]:
    """Return what is on a board. Raises NOT_FOUND for a group that isn't there or isn't in sight."""
    return on_board(groups.find(scope, group_id), wanted)


def on_board(group: Group, wanted: Wanted = EVERYTHING) -> QuerySet[BoardEntry]:
    """Return what is on the board of a group that is in sight."""
    rows = BoardEntry.objects.filter(group=group).select_related("user")
    told = {"kind": wanted.kind, "status": wanted.status, "run_id": wanted.run_id}
    rows = rows.filter(**{name: value for name, value in told.items() if value})
    if wanted.pinned is not None:
        rows = rows.filter(tier=Tier.CORE) if wanted.pinned else rows.exclude(tier=Tier.CORE)
    return rows.filter(text__icontains=wanted.words) if wanted.words else rows


class BoardStanding(NamedTuple):
    """How many entries a board has, and a text that is another one after each change."""

    entries: int
    state: str


def standing(group: Group) -> BoardStanding:
    """Return how the board of a group that is in sight stands."""
    rows = BoardEntry.objects.filter(group=group)
    entries, versions, latest = rows.aggregate(Count("pk"), Sum("version"), Max("updated_at")).values()
    return BoardStanding(entries, f"{entries}-{versions or 0}-{latest.timestamp() if latest else 0}")


def find(scope: Scope, group_id: str, entry_id: str) -> BoardEntry:
    """Return an entry of that board, or raise NOT_FOUND."""
    entry = board(scope, group_id).filter(pk=entry_id).first()
    if entry is None:
        raise NotFound("Board entry")
    return entry


def history(scope: Scope, group_id: str, entry_id: str, *, before: int | None = None) -> list[BoardVersion]:
    """Return what an entry said before, or before version `before`, the latest first. Raises NOT_FOUND."""
    return versions(find(scope, group_id, entry_id), before=before, limit=_MOST_VERSIONS)


def versions(entry: BoardEntry, *, before: int | None = None, limit: int) -> list[BoardVersion]:
    """Return the earlier versions of an entry that is in sight, or those before `before`, the latest first."""
    rows = entry.versions.order_by("-number")
    return list((rows.filter(number__lt=before) if before else rows)[:limit])


@transaction.atomic
def add(
    scope: Scope,
    group_id: str,
    *,
    kind: str,
    text: str,
    role_id: str = "",
    tier: str = Tier.EPISODIC,
    importance: float | None = None,
    **details: Any,
) -> BoardEntry:
    """Put something on a board in one's own name, or as a role of the group.

    Raises NOT_FOUND for the group or the role, FORBIDDEN for what isn't theirs to say, VALIDATION_ERROR, TOO_LARGE.
    """
    group = groups.find(scope, group_id)
    _require_word(scope, kind=kind, tier=tier)
    author = Author(user=scope.user, role_name=_role_name(group, role_id, kind=kind))
    post = Post(kind=kind, text=text, details=check(details), tier=_known(tier), importance=importance)
    entry = entries.write(group.pk, author, post)
    audit.record_for(scope, "board.create", object_id=entry.pk, group=group.pk, kind=kind)
    return find(scope, group_id, entry.pk)


@transaction.atomic
def change(scope: Scope, group_id: str, entry_id: str, *, version: int | None = None, **changed: Any) -> BoardEntry:
    """Change what is given: `kind`, `text`, `tier`, `importance`, `status`, and of the details what `DETAILS` names.

    Raises NOT_FOUND, FORBIDDEN for an entry that isn't one's to change, VALIDATION_ERROR, or CONFLICT if it isn't at
    `version` any more.
    """
    entry = find(scope, group_id, entry_id)
    if set(changed) - {"status"} or entry.kind != Kind.TODO:
        _require_hand(scope, entry)
    _require_word(scope, kind=changed.get("kind", entry.kind), tier=changed.get("tier", entry.tier))
    content = {name: value for name, value in changed.items() if name in entries.CONTENT}
    if "kind" in content and content["kind"] == Kind.TODO and not entry.status:
        content.setdefault("status", BoardEntry.Status.OPEN)
    if told := check({name: value for name, value in changed.items() if name not in entries.CONTENT}):
        content["details"] = {name: value for name, value in {**entry.details, **told}.items() if value}
    if "tier" in content:
        _known(content["tier"])
    entries.rewrite(entry, by=Author(user=scope.user), version=version, **content)
    audit.record_for(scope, "board.change", object_id=entry.pk, group=group_id, fields=sorted(changed))
    return find(scope, group_id, entry_id)


def pin(scope: Scope, group_id: str, entry_id: str, *, is_pinned: bool) -> BoardEntry:
    """Make an entry part of the board's core, or no longer. What is so already stays so; nobody's change is lost by it."""
    entry = find(scope, group_id, entry_id)
    _require(scope, "decide", "Only an admin pins what stands on a board")
    if entry.is_pinned == is_pinned:
        return entry
    return change(scope, group_id, entry_id, tier=Tier.CORE if is_pinned else Tier.EPISODIC)


@transaction.atomic
def remove(scope: Scope, group_id: str, entry_id: str, *, version: int | None = None) -> None:
    """Take an entry from the board and forget it. Raises NOT_FOUND, FORBIDDEN, or CONFLICT as `change`."""
    entry = find(scope, group_id, entry_id)
    _require_hand(scope, entry)
    _require_word(scope, kind=entry.kind, tier=entry.tier)
    if version is not None:
        entries.require_version(entry, version)
    entries.remove([entry])
    audit.record_for(scope, "board.delete", object_id=entry.pk, group=group_id, kind=entry.kind)


def may_change(scope: Scope, entry: BoardEntry) -> bool:
    """Whether somebody may change all of an entry, and remove it."""
    if allows(scope.role, "board", "decide"):
        return True
    is_open = entry.kind != Kind.DECISION and not entry.is_pinned
    return allows(scope.role, "board", "change") and entry.user_id == scope.user.pk and is_open


def check(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be stored of what is said beside the text. Raises VALIDATION_ERROR."""
    told: dict[str, Any] = {}
    for name, value in details.items():
        if name == "metadata":
            if len(json.dumps(value)) > LONGEST_METADATA:
                raise Invalid("metadata", f"Must have at most {LONGEST_METADATA} characters as JSON")
            told[name] = value
        elif name not in DETAILS:
            raise Invalid(name, "Unknown field")
        elif len(value) > DETAILS[name]:
            raise Invalid(name, f"Must have at most {DETAILS[name]} characters")
        else:
            told[name] = value.strip()
    return told


def _role_name(group: Group, role_id: str, *, kind: str) -> str:
    """The name of the role as which somebody speaks: one of the group's, for a decision its lead's."""
    if not role_id:
        return ""
    role = roles.find(role_id)
    members = groups.members_of(group)
    if role.pk not in {member.role_id for member in members}:
        raise OpenInternError("FORBIDDEN", f"The role {role.name} is not a member of this group")
    lead = groups.lead_of(group, members)
    if kind == Kind.DECISION and (lead is None or lead.role_id != role.pk):
        raise OpenInternError("FORBIDDEN", "Only the role that leads the group decides")
    return role.name


def _require_word(scope: Scope, *, kind: str, tier: str) -> None:
    if kind == Kind.DECISION:
        _require(scope, "decide", "Only an admin decides on a board; members of the team propose")
    if tier == Tier.CORE:
        _require(scope, "decide", "Only an admin pins what stands on a board")


def _require_hand(scope: Scope, entry: BoardEntry) -> None:
    if entry.user_id != scope.user.pk:
        _require(scope, "decide", "Somebody else wrote this; an admin corrects it or removes it")


def _require(scope: Scope, action: str, why: str) -> None:
    if not allows(scope.role, "board", action):
        raise OpenInternError("FORBIDDEN", why)


def _known(tier: str) -> str:
    if tier not in Tier.values:
        raise Invalid("type", f"Must be one of {', '.join(Tier.values)}")
    return tier
