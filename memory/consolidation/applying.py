"""Making a change and undoing it, to the letter. The caller has opened the transaction and locked the change set."""

from __future__ import annotations

import uuid
from datetime import datetime

from memory import forgetting, writing
from memory.consolidation.finding import least_trust, still_holds
from memory.models import Change, Memory, Trust
from memory.writing import Origin
from openintern.errors import NotFound, OpenInternError


def apply(change: Change, memories: dict[uuid.UUID, Memory], *, at: datetime) -> None:
    """Merge or forget. Raises CONFLICT where the memories are no longer what they were."""
    if not still_holds(change, memories):
        raise OpenInternError(
            "CONFLICT", "Something was changed since this was proposed", details={"change": change.pk}
        )
    members = [memories[member] for member in change.members]
    if change.kind == Change.Kind.MERGE:
        change.result = writing.merge(members, text=change.text, origin=_origin(change, members)).pk
    elif Memory.objects.filter(derived_from__in=members, forgotten_at__isnull=True).exists():
        raise OpenInternError(
            "CONFLICT", "Something was derived from this since it was proposed", details={"change": change.pk}
        )
    else:
        change.forgetting = forgetting.forget(members, at=at)


def undo(change: Change, memories: dict[uuid.UUID, Memory], *, at: datetime) -> None:
    """Put everything back as it was. Raises CONFLICT where that would undo what happened since, or comes too late."""
    if change.forgetting is not None:
        _bring_back(change, memories, at=at)
        return
    merged = Memory.objects.filter(pk=change.result).select_related("shelf").first() if change.result else None
    if merged is None or not set(change.members) <= memories.keys():
        raise OpenInternError("CONFLICT", "A memory of this merge is there no more", details={"change": change.pk})
    writing.unmerge(merged, [memories[member] for member in change.members])


def _bring_back(change: Change, memories: dict[uuid.UUID, Memory], *, at: datetime) -> None:
    there = [memories[member] for member in change.members if member in memories]
    if len(there) == len(change.members) and all(memory.forgotten_at is None for memory in there):
        return  # somebody has brought it back already
    if change.forgetting is None:
        raise AssertionError("an accepted expiry has its forgetting")
    try:
        forgetting.restore(change.forgetting, at=at)
    except NotFound:
        message = "What was forgotten can't be brought back any more"
        raise OpenInternError("CONFLICT", message, details={"change": change.pk}) from None


def _origin(change: Change, members: list[Memory]) -> Origin:
    """The first member is the most trusted: where its words stand unchanged, so does who vouches for them."""
    authors = {member.author_id for member in members}
    trust = Trust(members[0].trust) if change.text == members[0].text else least_trust(members)
    return Origin(
        author=members[0].author if len(authors) == 1 else None,
        source_type="consolidation",
        trust=Trust.DERIVED if change.written_by and trust == Trust.STATED else trust,
    )
