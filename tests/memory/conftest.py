"""Memories of the cast: in a transaction that is rolled back, and by the model that needs no weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from memory import search
from memory.models import Memory
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import Scope, org_scope
from tests.conftest import Person

Remember = Callable[..., Memory]


@pytest.fixture
def in_acme(alice: Person) -> Iterator[None]:
    """Inside the organisation that Alice owns and Bob is a member of."""
    with org_scope(alice.org):
        yield


@pytest.fixture
def note(in_acme: None) -> Remember:
    """Remember something: `note("text", owner=…, tier="core")`."""

    def write(text: str, *, owner: Owner, tier: str = "episodic", origin: Origin | None = None, **rest: Any) -> Memory:
        return remember(owner=owner, tier=tier, text=text, origin=origin or Origin(), **rest)

    return write


@pytest.fixture
def projects(in_acme: None, bob: Person) -> tuple[Project, Project]:
    """Two projects; Bob is in the first."""
    ours, theirs = (Project.objects.create(organization=bob.org, slug=slug, name=slug) for slug in ("ours", "theirs"))
    Membership.objects.get(user=bob.user, organization=bob.org).projects.add(ours)
    return ours, theirs


def within(person: Person, project: Project | None) -> Scope:
    """The person's scope, in a project."""
    return replace(person.scope, project=project)


def found(scope: Scope, query: str, **options: Any) -> list[str]:
    """The texts that a search finds, best first."""
    return [hit.text for hit in search.search(scope, query, **options).hits]
