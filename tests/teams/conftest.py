"""Roles, groups and skills, with the workers and tools that runs are tested with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import org_scope
from teams import groups, members, roles
from teams.models import Group, Role
from tests.conftest import Person
from tests.runs.conftest import add_tool, alice, bob, charlie, crash_in, empty_queue, hire, start_run, work
from tests.teams.boards import make_team

__all__ = [
    "add_tool",
    "alice",
    "bob",
    "charlie",
    "crash_in",
    "empty_queue",
    "hire",
    "make_team",
    "start_run",
    "work",
]

_number = iter(range(1_000_000))


@pytest.fixture
def make_role() -> Callable[..., Role]:
    """Make a role of a person's organisation; its name is its own unless told."""

    def make(person: Person, **told: Any) -> Role:
        told.setdefault("name", f"role {next(_number)}")
        told.setdefault("system_prompt", "You are a careful clerk.")
        with org_scope(person.org):
            return roles.create(person.scope, **told)

    return make


@pytest.fixture
def make_group(make_role: Callable[..., Role]) -> Callable[..., Group]:
    """Make a group of a person's organisation, with so many members of roles made for it."""

    def make(person: Person, *, size: int = 0, **told: Any) -> Group:
        told.setdefault("name", f"group {next(_number)}")
        joining = [make_role(person) for _ in range(size)]
        with org_scope(person.org):
            group = groups.create(person.scope, **told)
            for role in joining:
                members.add(person.scope, group.pk, role_id=role.pk)
            return groups.find(person.scope, group.pk)

    return make


@pytest.fixture
def project_of() -> Callable[..., Project]:
    """Make a project, and take people into it."""

    def make(person: Person, *others: Person) -> Project:
        project = people.create_project(f"p{random_text(8).lower()}", org=person.org, by=person.user)
        for other in others:
            Membership.objects.get(user=other.user, organization=person.org).projects.add(project)
        return project

    return make
