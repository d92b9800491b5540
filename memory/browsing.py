"""What people look at: the memories in sight, a search in them, one with where it comes from and what became of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import QuerySet
from django.db.models.functions import Left

from memory import keeping
from memory.embedding.ports import is_local
from memory.embedding.serving import SERVING, serving_model
from memory.forgetting import RESTORABLE
from memory.keeping import Wanted
from memory.models import Embedding, Memory
from memory.search import Answer, Filters
from memory.search.finding import search_shelves
from openintern.errors import NotFound
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope

#: Characters of a memory that a list shows.
BEGINNING = 480
#: Relatives of a memory that are shown.
_RELATIVES = 20


@dataclass(frozen=True)
class Portrait:
    """A memory with what it came from, what came of it, and what a forgetting would take along."""

    memory: Memory
    predecessor: Memory | None
    successors: list[Memory]
    sources: list[Memory]
    derivations: list[Memory]


def listed(scope: Scope, wanted: Wanted, *, words: str = "") -> QuerySet[Memory]:
    """Return the memories, newest first, each with its `beginning` in place of its whole text.

    `words` is for the forgotten, which have left the index: they are looked through as they are.
    """
    rows = keeping.memories(scope, wanted)
    if words:
        rows = rows.filter(text__icontains=words)
    return rows.annotate(beginning=Left("text", BEGINNING)).defer("text")


def found(scope: Scope, query: str, wanted: Wanted, *, limit: int, is_typing: bool = False) -> Answer:
    """Search what is wanted, with an explanation of each hit.

    While somebody `is_typing`, a model that is elsewhere isn't asked for every few letters: words have to do.
    """
    filters = Filters(
        run_id=wanted.run_id,
        document=wanted.document,
        source_types=(wanted.source_type,) if wanted.source_type else (),
    )
    shelves = keeping.shelves(scope, wanted)
    return search_shelves(
        shelves,
        query,
        limit=limit,
        filters=None if filters.is_empty else filters,
        explain=True,
        vectors=not is_typing or is_local(serving_model().name),
    )


def portrait(scope: Scope, memory_id: uuid.UUID, *, at: datetime) -> Portrait:
    """Return one memory with its relatives; a forgotten one as long as it can be brought back. Raises NotFound."""
    visible = Memory.objects.filter(shelf__in=keeping.shelves(scope))
    memory = (
        visible.select_related("shelf__user", "shelf__project", "author", "supersedes").filter(pk=memory_id).first()
    )
    if memory is None or (memory.forgotten_at is not None and memory.forgotten_at <= at - RESTORABLE):
        raise NotFound("Memory")
    there = visible.filter(forgotten_at__isnull=True).annotate(beginning=Left("text", BEGINNING)).defer("text")
    return Portrait(
        memory,
        predecessor=there.filter(successors=memory).first(),
        successors=list(there.filter(supersedes=memory)[:_RELATIVES]),
        sources=list(there.filter(derivations=memory)[:_RELATIVES]),
        derivations=list(there.filter(derived_from=memory)[:_RELATIVES]),
    )


def count_missing_vectors(scope: Scope) -> int:
    """Count the passages in sight that can only be found by their words so far."""
    return Embedding.objects.filter(model__state=SERVING, vector__isnull=True, shelf__in=keeping.shelves(scope)).count()


def source_types(scope: Scope) -> list[str]:
    """Return the kinds of sources that the memories in sight have."""
    kinds = Memory.objects.filter(shelf__in=keeping.shelves(scope)).exclude(source_type="").order_by()
    return sorted(kinds.values_list("source_type", flat=True).distinct())


def within(scope: Scope, slug: str) -> Scope:
    """Return the scope in the project of that name, one of those in sight; as it is where none is named."""
    if not slug:
        return scope
    project = next((each for each in projects(scope) if each.slug == slug), None)
    if project is None:
        raise NotFound("Project")
    return replace(scope, project=project)


def projects(scope: Scope) -> list[Project]:
    """Return the projects whose memories somebody may see, whichever one the scope is in."""
    all_of_them = Project.objects.filter(organization=scope.org).order_by("slug")
    if scope.sees_everything:
        return list(all_of_them)
    return list(all_of_them.filter(memberships__user=scope.user, memberships__organization=scope.org))
