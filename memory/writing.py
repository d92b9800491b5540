"""How memories come to be and change: each call is one transaction with everything that search reads.

A write locks the shelves of its owner, so two of the same owner's wait for each other; those of different owners don't.
Vectors are left to the embedder (`memory.embedding.queue`); the words are found from the commit on.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from memory import index, passages, terms
from memory.chunking import Piece
from memory.models import Memory, Shelf, Tier, Trust
from memory.owners import Owner
from openintern.errors import Invalid, OpenInternError
from openintern.redaction import redact
from openintern.tenancy.models import User
from openintern.text import storable

#: Characters of one memory; a book is more than one.
LONGEST_TEXT = 4_000_000
LONGEST_METADATA = 20_000  # characters, as JSON
#: Passages of one owner, in all tiers; what exact search still answers in time.
MOST_PASSAGES = 500_000
#: Memories that one run may leave within a minute; a person's or a program's requests are limited at the door.
RUN_WRITES_PER_MINUTE = 60
_LONGEST_ALIKE = 20_000  # characters; longer texts are alike when they are equal
_LONGEST_NAMES = {"document": 300, "source_type": 50, "source_key": 300, "thread": 200}
_CONTENT = ("text", "metadata", "importance", "contains_secrets", "likeness", "shelf")
_ORIGIN = ("trust", "author", "run_id", "event_seq", "document", "source_type", "thread")


@dataclass(frozen=True)
class Origin:
    """Where a memory comes from. `thread` names the conversation it is a turn of: neighbours lift each other.

    `had_secrets`: some stood in what was to be remembered, and were left out by who asks.
    """

    author: User | None = None
    run_id: str = ""
    event_seq: int | None = None
    document: str = ""
    source_type: str = ""
    thread: str = ""
    trust: Trust = Trust.STATED
    derived_from: tuple[uuid.UUID, ...] = ()
    had_secrets: bool = False


@transaction.atomic
def remember(
    *,
    owner: Owner,
    tier: str,
    text: str,
    origin: Origin,
    source_key: str = "",
    metadata: dict[str, Any] | None = None,
    importance: float = 0.5,
    pieces: Sequence[Piece] | None = None,
) -> Memory:
    """Remember `text`, found by its words when this returns; return the memory.

    With a `source_key`, what the owner had under that key takes this content and keeps its id; may be repeated. Without
    one, a memory of the same owner and tier that says the same is returned instead of a second.
    Secrets are left out and the memory marked. Raises OpenInternError for what is too large, too much or not acceptable.
    """
    draft = _drafted(text, origin=origin, metadata=metadata or {}, importance=importance, source_key=source_key)
    shelves = lock_shelves(owner)
    draft.shelf = shelves[_known_tier(tier)]
    known = _under_key(draft, owner) if source_key else _alike(draft)
    if known is not None and (not source_key or _says_the_same(known, draft)):
        return known
    _require_room(shelves, origin=origin)
    usable = pieces if draft.text == text else None  # offsets count in the text that they were made for
    if known is not None:
        return _replace(known, draft, pieces=usable)
    draft.save(force_insert=True)
    _note_origins(draft, origin)
    passages.store(draft, pieces=usable, before=passages.last_of_thread(draft))
    return draft


@transaction.atomic
def update(
    memory: Memory,
    *,
    text: str | None = None,
    tier: str | None = None,
    metadata: dict[str, Any] | None = None,
    importance: float | None = None,
    pieces: Sequence[Piece] | None = None,
) -> Memory:
    """Change what is given and return the memory as it is now. Raises GONE where it was forgotten or superseded."""
    shelves = lock_shelves(memory.owner)
    current = _still_current(memory)
    draft = _drafted(
        current.text if text is None else text,
        origin=Origin(trust=Trust(current.trust)),
        metadata=current.metadata if metadata is None else metadata,
        importance=current.importance if importance is None else importance,
        source_key=current.source_key,
    )
    draft.shelf = shelves[_known_tier(tier or current.shelf.tier)]
    draft.contains_secrets |= current.contains_secrets
    return _replace(current, draft, pieces=pieces if draft.text == text else None, keeps_origin=True)


@transaction.atomic
def supersede(memory: Memory, *, text: str, origin: Origin, pieces: Sequence[Piece] | None = None) -> Memory:
    """Put a new memory in the old one's place. The old one stays to be read, and is found no more."""
    shelves = lock_shelves(memory.owner)
    old = _still_current(memory)
    _require_room(shelves, origin=origin)
    new = _drafted(text, origin=origin, metadata=old.metadata, importance=old.importance, source_key=old.source_key)
    new.shelf, new.supersedes, new.thread = old.shelf, old, old.thread
    before, after = passages.neighbours(old)
    index.take(old.shelf, [old.pk])
    Memory.objects.filter(pk=old.pk).update(superseded_at=Now())
    new.save(force_insert=True)
    _note_origins(new, origin)
    passages.store(new, pieces=pieces if new.text == text else None, before=before, after=after)
    return new


@transaction.atomic
def merge(memories: Sequence[Memory], *, text: str, origin: Origin) -> Memory:
    """Put one memory in the place of several of one shelf; it is derived from them, and as important as any was.

    They stay to be read, and are found no more. Raises CONFLICT where one of them was forgotten or superseded.
    """
    lock_shelves(memories[0].owner)
    olds = [_still_current(memory) for memory in memories]
    importance = max(old.importance for old in olds)
    new = _drafted(text, origin=origin, metadata=olds[0].metadata, importance=importance, source_key="")
    new.shelf, new.supersedes = olds[0].shelf, olds[0]
    new.contains_secrets |= any(old.contains_secrets for old in olds)
    index.take(new.shelf, [old.pk for old in olds])
    Memory.objects.filter(pk__in=[old.pk for old in olds]).update(superseded_at=Now())
    new.save(force_insert=True)
    new.derived_from.set(olds)
    passages.store(new, pieces=None)
    return new


@transaction.atomic
def unmerge(merged: Memory, memories: Sequence[Memory]) -> None:
    """Undo a merge to the letter: what it had put aside is found again, and what it made is as if it had never been.

    Raises CONFLICT where something has happened since that this would undo too.
    """
    lock_shelves(merged.owner)
    new = _still_current(merged)
    olds = list(Memory.objects.filter(pk__in=[memory.pk for memory in memories]).select_related("shelf"))
    gone = len(olds) < len(memories) or any(old.forgotten_at or not old.superseded_at for old in olds)
    if gone or new.updated_at != new.created_at or new.derivations.exists():
        raise OpenInternError("CONFLICT", "Since the merge, one of its memories was changed or forgotten")
    index.take(new.shelf, [new.pk])
    new.passages.all().delete()
    new.delete()
    Memory.objects.filter(pk__in=[old.pk for old in olds]).update(superseded_at=None)
    for old in olds:
        index.put(old.shelf, list(old.passages.order_by("ordinal")))


def lock_shelves(owner: Owner) -> dict[str, Shelf]:
    """Return the owner's shelves by tier, made if need be, locked until the transaction ends."""
    return {shelf.tier: shelf for shelf in shelves_of(owner).select_for_update()}


def shelves_of(owner: Owner) -> QuerySet[Shelf]:
    """Return the owner's shelves, made if need be."""
    shelves: Any = Shelf.objects
    found: QuerySet[Shelf] = shelves.of(owner)
    if found.count() < len(Tier):
        rows = [Shelf(tier=tier, **owner.columns()) for tier in Tier]
        Shelf.objects.bulk_create(rows, ignore_conflicts=True)
    return found


def _drafted(text: str, *, origin: Origin, metadata: dict[str, Any], importance: float, source_key: str) -> Memory:
    """Return an unsaved memory of what may be stored of all this."""
    if not text.strip():
        raise Invalid("text", "A memory needs a text")
    if len(text) > LONGEST_TEXT:
        raise OpenInternError("TOO_LARGE", f"A memory has at most {LONGEST_TEXT:,} characters; split it")
    if not (math.isfinite(importance) and 0 <= importance <= 1):
        raise Invalid("importance", "Importance is a number from 0 to 1")
    if len(json.dumps(metadata)) > LONGEST_METADATA:
        raise Invalid("metadata", f"Metadata has at most {LONGEST_METADATA:,} characters")
    clean, has_secrets = redact({"text": text, "metadata": metadata})
    if has_secrets and settings.CONFIG.memory.refuses_secrets:
        raise Invalid("text", "The text holds what looks like a secret (a key, a token, a password); it isn't stored")
    clean = storable(clean)
    return Memory(
        text=clean["text"],
        metadata=clean["metadata"],
        importance=importance,
        trust=origin.trust,
        contains_secrets=has_secrets or origin.had_secrets,
        likeness=_likeness(clean["text"]),
        author=origin.author,
        run_id=origin.run_id,
        event_seq=origin.event_seq,
        document=_short(origin.document, "document"),
        source_type=_short(origin.source_type, "source_type"),
        source_key=_short(source_key, "source_key"),
        thread=_short(origin.thread, "thread"),
    )


def _note_origins(memory: Memory, origin: Origin) -> None:
    if origin.derived_from:
        memory.derived_from.set(Memory.objects.filter(pk__in=origin.derived_from))


def _short(value: str, name: str) -> str:
    limit = _LONGEST_NAMES[name]
    if len(value) > limit:
        raise Invalid(name, f"At most {limit} characters")
    return str(storable(value))


def _known_tier(tier: str) -> Tier:
    if tier not in Tier.values:
        raise Invalid("tier", f"There is no tier {tier!r}: it is one of {', '.join(Tier.values)}")
    return Tier(tier)


def _likeness(text: str) -> uuid.UUID:
    """Return what two texts share that differ in case, punctuation, endings or small words alone, in this order."""
    if len(text) > _LONGEST_ALIKE:
        return index.digest(text)
    return index.digest(terms.gist(text) or text)


def _alike(draft: Memory) -> Memory | None:
    memories: Any = Memory.objects
    found = memories.current().filter(shelf=draft.shelf, likeness=draft.likeness, source_key="", thread=draft.thread)
    known: Memory | None = found.select_related("shelf").order_by("created_at").first()
    return known


def _under_key(draft: Memory, owner: Owner) -> Memory | None:
    memories: Any = Memory.objects
    found = memories.of(owner).current().filter(source_key=draft.source_key)
    known: Memory | None = found.select_related("shelf").first()
    return known


def _says_the_same(known: Memory, draft: Memory) -> bool:
    names = ("text", "metadata", "importance", "shelf_id")
    return all(getattr(known, name) == getattr(draft, name) for name in names)


def _still_current(memory: Memory) -> Memory:
    """Return the memory as it is under the lock."""
    current = Memory.objects.select_related("shelf").get(pk=memory.pk)
    if not current.is_current:
        raise OpenInternError("CONFLICT", "This memory was forgotten or superseded")
    return current


def _require_room(shelves: dict[str, Shelf], *, origin: Origin) -> None:
    if sum(shelf.passages for shelf in shelves.values()) >= MOST_PASSAGES:
        raise OpenInternError("TOO_LARGE", f"This owner remembers {MOST_PASSAGES:,} passages, which is the most")
    if not origin.run_id:
        return
    since = timezone.now() - timedelta(minutes=1)
    if Memory.objects.filter(run_id=origin.run_id, created_at__gte=since).count() >= RUN_WRITES_PER_MINUTE:
        raise OpenInternError("THROTTLED", f"A run may leave {RUN_WRITES_PER_MINUTE} memories a minute")


def _replace(known: Memory, draft: Memory, *, pieces: Sequence[Piece] | None, keeps_origin: bool = False) -> Memory:
    """Give a memory the draft's content; its passages only where the text or the place changes."""
    moves = known.text != draft.text or known.shelf_id != draft.shelf_id or pieces is not None
    before, after = passages.neighbours(known)
    if moves:
        index.take(known.shelf, [known.pk])
        known.passages.all().delete()
    names = [*_CONTENT, *(() if keeps_origin else _ORIGIN)]
    for name in names:
        setattr(known, name, getattr(draft, name))
    known.updated_at = timezone.now()
    known.save(update_fields=[*names, "updated_at"])
    if moves:
        passages.store(known, pieces=pieces, before=before, after=after)
    return known
