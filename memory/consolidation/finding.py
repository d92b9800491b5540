"""What could be tidied up of one owner's: found by rules, the same in the same memories."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Left, Length

from memory import index
from memory.consolidation import likeness
from memory.models import Change, ChangeSet, Memory, State, Tier, Trust
from memory.owners import Owner

#: Changes of one kind in one pass; the next pass goes on.
MOST_CHANGES = 100
#: Memories that are looked at for one kind: the newest for duplicates, the oldest for the others.
LOOKED_AT = 2_000
#: Characters; what is longer is a document, and its source replaces it.
LONGEST = 4_000
#: Members of one merge.
MOST_MEMBERS = 10
#: Up to this importance what happened may be forgotten one day. A finished run leaves a memory of just that.
STALE_IMPORTANCE = 0.3
_BEGINNING = 480
_TRUST = (Trust.STATED, Trust.DERIVED, Trust.OUTSIDE)  # from the most to the least


@dataclass(frozen=True)
class Proposal:
    """A change that could be made, with what speaks for it."""

    kind: Change.Kind
    memories: tuple[Memory, ...]
    evidence: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    written_by: str = ""

    @property
    def members(self) -> list[uuid.UUID]:
        """The memories' ids."""
        return [memory.pk for memory in self.memories]

    @property
    def before(self) -> dict[str, str]:
        """When each memory was last changed: what a decision is held against."""
        return {str(memory.pk): memory.updated_at.isoformat() for memory in self.memories}

    @property
    def digest(self) -> uuid.UUID:
        """The same for the same proposal about the same memories in the same state."""
        return index.digest("\n".join([self.kind, *(f"{key} {at}" for key, at in sorted(self.before.items()))]))


def find(owner: Owner, *, at: datetime, stale_after_days: int, superseded_after_days: int) -> list[Proposal]:
    """Return what could be tidied up and wasn't proposed before, each memory at most once."""
    superseded_before, stale_before = at - timedelta(days=superseded_after_days), at - timedelta(days=stale_after_days)
    taken = _in_open_changes(owner)
    found: list[Proposal] = []
    for proposals in (
        _superseded(owner, before=superseded_before),
        _stale(owner, before=stale_before),
        _duplicates(owner),
    ):
        new = [each for each in _unheard(list(proposals)) if taken.isdisjoint(each.members)][:MOST_CHANGES]
        taken.update(member for each in new for member in each.members)
        found += new
    return found


def still_holds(change: Change, memories: dict[uuid.UUID, Memory]) -> bool:
    """Whether the memories that a change is about are what they were when it was proposed."""
    is_superseded = change.kind == Change.Kind.SUPERSEDED
    return all(
        (memory := memories.get(member)) is not None
        and memory.forgotten_at is None
        and (memory.superseded_at is not None) == is_superseded
        and memory.updated_at.isoformat() == change.before[str(member)]
        for member in change.members
    )


def members_of(changes: list[Change]) -> dict[uuid.UUID, Memory]:
    """Return the memories that some changes are about, those that are still there, by id; each with its `beginning`."""
    ids = {member for change in changes for member in change.members}
    rows = Memory.objects.filter(pk__in=ids).select_related("shelf__user", "shelf__project", "author")
    return {memory.pk: memory for memory in rows.annotate(beginning=Left("text", _BEGINNING)).defer("text")}


def _in_open_changes(owner: Owner) -> set[uuid.UUID]:
    sets: Any = ChangeSet.objects
    changes = Change.objects.filter(state=State.PROPOSED, change_set__in=sets.of(owner))
    return {member for members in changes.values_list("members", flat=True) for member in members}


def _unheard(proposals: list[Proposal]) -> list[Proposal]:
    """Leave out what was proposed before, whatever came of it."""
    digests = [each.digest for each in proposals]
    known = set(Change.objects.filter(digest__in=digests).values_list("digest", flat=True))
    return [each for each, digest in zip(proposals, digests, strict=True) if digest not in known]


def _of(owner: Owner) -> QuerySet[Memory]:
    """The owner's memories from which nothing was derived that is still there: what goes takes its offspring along."""
    memories: Any = Memory.objects
    offspring = Memory.objects.filter(derived_from=OuterRef("pk"), forgotten_at__isnull=True)
    rows: QuerySet[Memory] = memories.of(owner).filter(~Exists(offspring), forgotten_at__isnull=True)
    return rows.select_related("shelf")


def _superseded(owner: Owner, *, before: datetime) -> Iterator[Proposal]:
    rows = _of(owner).filter(superseded_at__lt=before).order_by("superseded_at", "pk").defer("text")[:LOOKED_AT]
    for memory in rows:
        yield Proposal(Change.Kind.SUPERSEDED, (memory,), {"superseded_at": _day(memory.superseded_at)})


def _stale(owner: Owner, *, before: datetime) -> Iterator[Proposal]:
    unneeded = Q(recalled_at__isnull=True) | Q(recalled_at__lt=before)
    rows = _of(owner).filter(
        unneeded,
        shelf__tier=Tier.EPISODIC,
        superseded_at__isnull=True,
        importance__lte=STALE_IMPORTANCE,
        updated_at__lt=before,
    )
    for memory in rows.order_by("created_at", "pk").defer("text")[:LOOKED_AT]:
        evidence = {
            "since": _day(memory.updated_at),
            "importance": memory.importance,
            "recalled": _day(memory.recalled_at),
        }
        yield Proposal(Change.Kind.STALE, (memory,), evidence)


def _duplicates(owner: Owner) -> Iterator[Proposal]:
    """What a source keeps up to date by its key is the source's own business, but for what runs leave.

    What comes from outside is never merged with what a person or an agent has said.
    """
    memories: Any = Memory.objects
    free = memories.of(owner).current().filter(Q(source_key="") | Q(source_type="run"))
    for tier, is_outside in product((Tier.CORE, Tier.EPISODIC), (False, True)):
        rows = free.filter(Q(trust=Trust.OUTSIDE) if is_outside else ~Q(trust=Trust.OUTSIDE), shelf__tier=tier)
        rows = rows.annotate(length=Length("text")).filter(length__lte=LONGEST).select_related("shelf")
        newest = sorted(rows.order_by("-created_at", "-pk")[:LOOKED_AT], key=_precedence)
        bags = [likeness.bag(memory.text) for memory in newest]
        for group in likeness.groups(bags):
            places = group[:MOST_MEMBERS]
            shares = [round(likeness.likeness(bags[places[0]], bags[place]), 2) for place in places[1:]]
            members = tuple(newest[place] for place in places)
            text = likeness.merged([memory.text for memory in members])
            yield Proposal(Change.Kind.MERGE, members, {"likeness": shares}, text)


def _precedence(memory: Memory) -> tuple[Any, ...]:
    """Whose words stand: a person's before an agent's, the important, the long, the new."""
    trust = _TRUST.index(Trust(memory.trust))
    return trust, -memory.importance, -len(memory.text), -memory.created_at.timestamp(), memory.pk


def least_trust(memories: tuple[Memory, ...] | list[Memory]) -> Trust:
    """Return who vouches for what comes of these together."""
    return max((Trust(memory.trust) for memory in memories), key=_TRUST.index)


def with_text(proposal: Proposal, text: str, *, by: str) -> Proposal:
    """Return the same merge with a text that a model wrote."""
    return replace(proposal, text=text, written_by=by)


def _day(at: datetime | None) -> str | None:
    return None if at is None else at.date().isoformat()
