"""Who asks, in which organisation and project; and the one door into a tenant's schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connection as _connection

from openintern.tenancy import schemas
from openintern.tenancy.models import Organization, Project, User
from openintern.tenancy.roles import Role

connection: Any = _connection  # what django-tenants adds to it has no types


@dataclass(frozen=True)
class Scope:
    """In whose name something is done: what may be seen and written follows from it."""

    org: Organization
    user: User
    role: Role
    project: Project | None = None
    via: str = "command"

    @property
    def sees_everything(self) -> bool:
        """Whether all of the organisation's runs are in sight, not only one's own."""
        return self.role.includes(Role.ADMIN)


@contextmanager
def org_scope(org: Organization) -> Iterator[None]:
    """Enter an organisation's schema for the block, and leave it whatever happens.

    Raises UNAVAILABLE where the schema is missing or behind the code. Querysets have to be evaluated
    inside. A new thread starts outside every organisation and has to enter for itself.
    """
    schemas.require_current(org)
    previous = connection.tenant
    connection.set_tenant(org)
    try:
        with structlog.contextvars.bound_contextvars(org=org.slug):
            yield
    finally:
        connection.set_tenant(previous)


@contextmanager
def public_scope() -> Iterator[None]:
    """Leave every organisation for the block: only shared tables are in reach."""
    previous = connection.tenant
    connection.set_schema_to_public()
    try:
        yield
    finally:
        connection.set_tenant(previous)
