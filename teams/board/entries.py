"""Entries of boards and their memories: each call is one transaction with both. Nobody is asked whether they may.

A write locks the board's shelves, so writers of one board wait for each other; what is changed is locked before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from memory import forgetting
from memory.models import Memory, Tier, Trust
from memory.owners import Owner
from memory.writing import Origin, lock_shelves, remember
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.redaction import redact
from openintern.tenancy.models import User
from openintern.text import storable
from runs import log
from teams.models import BoardEntry, BoardVersion, Group
from teams.models.board import LONGEST_ENTRY

Kind = BoardEntry.Kind

#: Entries of one board; a team that needs more has to clear away what is done.
MOST_ENTRIES: Final = 5_000
#: How much an entry weighs, where its author doesn't say.
IMPORTANCE: Final[Mapping[str, float]] = {Kind.DECISION: 0.8, Kind.EVIDENCE: 0.6, Kind.TODO: 0.7}
#: What can be changed of an entry, and is kept of each version.
CONTENT: Final = ("kind", "text", "details", "tier", "importance", "status")
_HEADS: Final = {Kind.DECISION: "Decision", Kind.EVIDENCE: "Evidence", Kind.PROPOSAL: "Proposal", Kind.TODO: "To do"}


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who writes, and where: a person, or a member of a team in a run. Never what a text says of itself."""

    user: User | None = None
    agent_id: str = ""
    role_name: str = ""
    run_id: str = ""
    tool_call_id: str = ""
    trust: Trust = Trust.STATED

    @property
    def name(self) -> str:
        """How a history names them."""
        return self.user.username if self.user else self.role_name


@dataclass(frozen=True, kw_only=True)
class Post:
    """What is put down."""

    kind: str
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)
    tier: str = Tier.EPISODIC
    importance: float | None = None
    event_seq: int | None = None
    part: int = 0


@transaction.atomic
def write(group_id: str, author: Author, post: Post) -> BoardEntry:
    """Put something on a board and remember it. What the same call of a run wrote already is returned as it is.

    Secrets are left out. Raises NOT_FOUND where the group is gone, another OpenInternError for what is too long, too much
    or not acceptable.
    """
    if not Group.objects.select_for_update(no_key=True).filter(pk=group_id).exists():
        raise NotFound("Group")
    lock_shelves(Owner(board=group_id))
    if author.run_id and (known := written(author, post.part)):
        return known
    if BoardEntry.objects.filter(group=group_id).count() >= MOST_ENTRIES:
        raise OpenInternError("TOO_LARGE", f"A board has at most {MOST_ENTRIES:,} entries; clear some away")
    entry = BoardEntry(
        group_id=group_id,
        status=BoardEntry.Status.OPEN if post.kind == Kind.TODO else "",
        trust=author.trust,
        user=author.user,
        agent_id=author.agent_id or None,
        role_name=author.role_name,
        run_id=author.run_id,
        tool_call_id=author.tool_call_id,
        part=post.part,
        event_seq=post.event_seq,
    )
    importance = IMPORTANCE.get(post.kind, 0.5) if post.importance is None else post.importance
    _fill(entry, kind=post.kind, text=post.text, details=post.details, tier=post.tier, importance=importance)
    entry.save(force_insert=True)
    entry.refresh_from_db(fields=["created_at", "updated_at"])
    _remember(entry)
    _ring(group_id)
    return entry


def written(author: Author, part: int = 0) -> BoardEntry | None:
    """Return what a call of a run has written already."""
    return BoardEntry.objects.filter(run_id=author.run_id, tool_call_id=author.tool_call_id, part=part).first()


@transaction.atomic
def rewrite(entry: BoardEntry, *, by: Author, version: int | None = None, **changed: Any) -> BoardEntry:
    """Change some of an entry's CONTENT, keep what it was, and remember it anew. What changes nothing is no version.

    Raises CONFLICT where it isn't in `version` any more, NOT_FOUND where it is gone.
    """
    current = _locked(entry) if version is None else require_version(entry, version)
    before = {name: getattr(current, name) for name in CONTENT}
    _fill(current, **changed)
    if before == {name: getattr(current, name) for name in CONTENT}:
        return current
    BoardVersion.objects.create(entry=current, number=current.version, changed_by=by.name[:150], **before)
    current.version += 1
    current.updated_at = timezone.now()
    if by.trust == Trust.OUTSIDE:
        current.trust = Trust.OUTSIDE
    current.save(update_fields=[*CONTENT, "trust", "version", "updated_at"])
    _remember(current)
    _ring(current.group_id)
    return current


@transaction.atomic
def remove(entries: Sequence[BoardEntry]) -> None:
    """Take entries of one board from it, and forget them."""
    if not entries:
        return
    group_id = entries[0].group_id
    lock_shelves(Owner(board=group_id))
    forgetting.forget(memories(entries), at=timezone.now())
    BoardEntry.objects.filter(pk__in=[entry.pk for entry in entries]).delete()
    _ring(group_id)


@transaction.atomic
def clear(group_id: str) -> None:
    """Forget a whole board: for a group that is removed."""
    remove(list(BoardEntry.objects.filter(group=group_id)))


def memories(entries: Sequence[BoardEntry]) -> list[Memory]:
    """Return what entries of one board are remembered as."""
    everything: Any = Memory.objects
    mine = everything.of(Owner(board=entries[0].group_id)).current()
    return list(mine.filter(source_key__in=[entry.source_key for entry in entries]))


def watched(group_id: str) -> str:
    """Return under which name a board's changes are rung."""
    return f"board:{group_id}"


def require_version(entry: BoardEntry, version: int) -> BoardEntry:
    """Return an entry that nobody else changes until the transaction ends. Raises CONFLICT if it isn't at `version`."""
    current = _locked(entry)
    if version != current.version:
        raise OpenInternError(
            "CONFLICT",
            "Somebody has changed this entry meanwhile; look at it again",
            details={"version": current.version},
        )
    return current


def _locked(entry: BoardEntry) -> BoardEntry:
    current = BoardEntry.objects.select_for_update().filter(pk=entry.pk).first()
    if current is None:
        raise NotFound("Board entry")
    return current


def _fill(entry: BoardEntry, **content: Any) -> None:
    """Give an entry what may be stored of `content`."""
    clean, _ = redact(storable(dict(content)))
    for name, value in clean.items():
        setattr(entry, name, value)
    entry.text = entry.text.strip()
    if not entry.text:
        raise Invalid("text", "Must not be empty")
    if len(entry.text) > LONGEST_ENTRY:
        raise Invalid("text", f"Must have at most {LONGEST_ENTRY} characters")
    if entry.kind not in Kind.values:
        raise Invalid("kind", f"Must be one of {', '.join(Kind.values)}")
    if entry.kind != Kind.TODO:
        entry.status = ""
    elif entry.status not in BoardEntry.Status.values:
        raise Invalid("status", f"Must be one of {', '.join(BoardEntry.Status.values)}")


def _remember(entry: BoardEntry) -> None:
    """Have one memory of the entry, and that as it is now."""
    remember(
        owner=Owner(board=entry.group_id),
        tier=entry.tier,
        text=telling(entry),
        source_key=entry.source_key,
        importance=entry.importance,
        metadata={
            "entry": entry.pk,
            "kind": entry.kind,
            **{name: entry.details[name] for name in ("refs",) if entry.details.get(name)},
        },
        origin=Origin(
            author=entry.user,
            run_id=entry.run_id,
            event_seq=entry.event_seq,
            source_type="board",
            trust=Trust(entry.trust),
        ),
    )


def telling(entry: BoardEntry) -> str:
    """Return an entry in words, as it is remembered and as agents read it."""
    told = entry.details
    head = _HEADS.get(Kind(entry.kind), "Note")
    if entry.status:
        head += f" ({entry.status})"
    lines = [f"{head}: {told['title']}" if told.get("title") else f"{head}: {entry.text}"]
    lines += [entry.text] if told.get("title") else []
    lines += [f"{label}: {told[name]}" for name, label in _TELLING if told.get(name)]
    return "\n".join(lines)


_TELLING: Final = (("rationale", "Because"), ("source", "Source"))


def _ring(group_id: str) -> None:
    """Let whoever watches the board know, with the commit."""
    if connection.in_atomic_block:
        log.notify(log.CHANNEL, watched(group_id))
