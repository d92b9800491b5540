"""Roles and skills, with the workers and tools that runs are tested with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.tenancy.scope import org_scope
from teams import roles
from teams.models import Role
from tests.conftest import Person
from tests.runs.conftest import add_tool, alice, bob, charlie, empty_queue, start_run, work

__all__ = ["add_tool", "alice", "bob", "charlie", "empty_queue", "start_run", "work"]

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
