"""What people do to memories: keep, correct, replace, forget, bring back. Pages, API, admin and commands all call these.

A personal memory is its owner's alone. A project's is everybody's in it to read and to add to; what somebody else added,
an admin corrects or removes.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from memory import forgetting, writing
from memory.models import Document, Memory, Shelf, Tier, Trust
from memory.owners import Owner
from memory.search import find_memory
from memory.writing import Origin
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope

OWNERS = ("user", "project")


@dataclass(frozen=True)
class Wanted:
    """Which of the memories in sight somebody wants to see; what isn't given leaves all."""

    tier: str = ""
    owner: str = ""
    source_type: str = ""
    run_id: str = ""
    document: str = ""
    forgotten: bool = False

    def __post_init__(self) -> None:
        if self.tier and self.tier not in Tier.values:
            raise Invalid("tier", f"Must be one of {', '.join(Tier.values)}")
        if self.owner and self.owner not in OWNERS:
            raise Invalid("owner", f"Must be one of {', '.join(OWNERS)}")

    def origin(self) -> dict[str, str]:
        """Where they have to come from, as conditions on a memory."""
        told = {"source_type": self.source_type, "run_id": self.run_id, "document": self.document}
        return {name: value for name, value in told.items() if value}


EVERYTHING = Wanted()


def memories(scope: Scope, wanted: Wanted = EVERYTHING) -> QuerySet[Memory]:
    """Return the memories in sight, newest first: those that can be found, or those that can still be brought back."""
    # as literals: of one shelf, the newest are then read in order
    within = list(shelves(scope, wanted).values_list("pk", flat=True))
    rows = Memory.objects.filter(shelf__in=within, **wanted.origin())
    rows = (
        rows.filter(forgotten_at__isnull=False)
        if wanted.forgotten
        else rows.filter(forgotten_at__isnull=True, superseded_at__isnull=True)
    )
    return rows.select_related("shelf__user", "shelf__project", "author").order_by("-created_at", "-pk")


def shelves(scope: Scope, wanted: Wanted = EVERYTHING) -> QuerySet[Shelf]:
    """Return the shelves in sight that may hold what is wanted."""
    visible: Any = Shelf.objects
    found: QuerySet[Shelf] = visible.for_scope(scope)
    if wanted.tier:
        found = found.filter(tier=wanted.tier)
    if wanted.owner:
        found = found.filter(**{f"{wanted.owner}__isnull": False})
    return found


@transaction.atomic
def keep(
    scope: Scope,
    *,
    text: str,
    tier: str = Tier.CORE,
    owner: str = "user",
    metadata: dict[str, Any] | None = None,
    importance: float = 0.5,
    source_key: str = "",
) -> Memory:
    """Remember something for oneself or for the project in scope.

    Returns the memory that says the same already, if there is one; with a `source_key`, replaces what had that key.
    """
    memory = writing.remember(
        owner=owner_named(scope, owner),
        tier=tier,
        text=text,
        metadata=metadata,
        importance=importance,
        source_key=source_key,
        origin=Origin(author=scope.user, source_type="person", trust=Trust.STATED),
    )
    audit.record_for(scope, "memory.create", object_id=str(memory.pk), tier=memory.tier, owner=owner)
    return memory


@transaction.atomic
def correct(scope: Scope, memory_id: uuid.UUID, **given: Any) -> Memory:
    """Change `text`, `tier`, `metadata` or `importance`. Raises NOT_FOUND, FORBIDDEN, CONFLICT (superseded)."""
    memory = _in_hand(scope, memory_id)
    changed = writing.update(memory, **given)
    audit.record_for(scope, "memory.change", object_id=str(memory_id), fields=sorted(given))
    return changed


@transaction.atomic
def replace(scope: Scope, memory_id: uuid.UUID, *, text: str) -> Memory:
    """Put a new memory in the old one's place; the old one stays to be read, and is found no more."""
    memory = _in_hand(scope, memory_id)
    origin = Origin(author=scope.user, source_type="person", trust=Trust.STATED)
    new = writing.supersede(memory, text=text, origin=origin)
    audit.record_for(scope, "memory.supersede", object_id=str(memory_id), by=str(new.pk))
    return new


@transaction.atomic
def forget(scope: Scope, memory_id: uuid.UUID, *, at: datetime) -> None:
    """Forget a memory, and what was derived from it. It can be brought back for 30 days."""
    memory = _in_hand(scope, memory_id)
    forgetting.forget([memory], at=at)
    audit.record_for(scope, "memory.forget", object_id=str(memory_id))


@transaction.atomic
def bring_back(scope: Scope, memory_id: uuid.UUID, *, at: datetime) -> Memory:
    """Undo the forgetting that took a memory, with all else it took. Raises NOT_FOUND if it is too late."""
    forgotten = memories(scope, Wanted(forgotten=True)).filter(pk=memory_id).first()
    if forgotten is None or forgotten.forgotten_with is None:
        raise NotFound("Memory")
    _require_hand(scope, forgotten)
    forgetting.restore(forgotten.forgotten_with, at=at, shelves=shelves(scope))
    audit.record_for(scope, "memory.restore", object_id=str(memory_id))
    return find_memory(scope, memory_id)


def may_change(scope: Scope, memory: Memory | Document) -> bool:
    """Whether it is this person's to correct or to forget."""
    own = scope.user.pk in {memory.shelf.user_id, memory.author_id}
    return own or (scope.sees_everything and memory.shelf.user_id is None)


def _in_hand(scope: Scope, memory_id: uuid.UUID) -> Memory:
    memory = find_memory(scope, memory_id)
    _require_hand(scope, memory)
    return memory


def _require_hand(scope: Scope, memory: Memory) -> None:
    if not may_change(scope, memory):
        raise OpenInternError("FORBIDDEN", "Somebody else added this; an admin can change it")


def owner_named(scope: Scope, owner: str) -> Owner:
    """Return whose it will be: `user` or `project`. Raises VALIDATION_ERROR where the scope has no project."""
    if owner == "user":
        return Owner.of_user(scope.user)
    if owner != "project":
        raise Invalid("owner", f"Must be one of {', '.join(OWNERS)}")
    if scope.project is None:
        raise Invalid("owner", "Name the project (x-project-id) that this is for")
    return Owner.of_project(scope.project)
