"""The schemas of organisations: made, migrated, and never entered while behind the code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django_tenants.utils import quote_schema_name, schema_exists

from openintern.errors import OpenInternError
from openintern.tenancy import upgrade
from openintern.tenancy.models import Organization

_MIGRATION_LOCK = 0x6F69_0002  # any number that nobody else uses
_known_schemas: set[str] = set()


@cache
def fingerprint() -> str:
    """Return a digest of the newest migrations that an organisation's schema should have."""
    labels = {name.rsplit(".", 1)[-1] for name in settings.TENANT_APPS}
    loader = MigrationLoader(None, ignore_no_migrations=True)
    leaves = sorted(node for node in loader.graph.leaf_nodes() if node[0] in labels)
    return hashlib.sha256(repr(leaves).encode()).hexdigest()


def is_current(org: Organization) -> bool:
    """Whether the organisation's schema has every migration the code knows."""
    return org.migrated_to == fingerprint()


def require_current(org: Organization) -> None:
    """Raise UNAVAILABLE unless the organisation's schema is there and up to date.

    PostgreSQL ignores a schema on the search path that doesn't exist and would go on to `public`,
    hence the look; it is made once per process and schema.
    """
    if not is_current(org):
        raise OpenInternError("UNAVAILABLE", "This organisation's database schema is being upgraded")
    if org.schema_name not in _known_schemas:
        if not schema_exists(org.schema_name):
            raise OpenInternError("UNAVAILABLE", "This organisation's database schema is missing")
        _known_schemas.add(org.schema_name)


def create(org: Organization) -> None:
    """Make the organisation's schema and bring it up to date; may be repeated after a failure."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_schema_name(org.schema_name)}")
    migrate(org)


def migrate(org: Organization) -> None:
    """Apply what is missing in the organisation's schema and remember that it has it.

    Of several processes that want to, one does it; the others wait and find it done.
    """
    with _alone_at(org):
        if Organization.objects.filter(pk=org.pk, migrated_to=fingerprint()).exists():
            org.migrated_to = fingerprint()
            return
        upgrade.upgrade(org.schema_name)
        org.migrated_to = fingerprint()
        Organization.objects.filter(pk=org.pk).update(migrated_to=org.migrated_to)


@contextmanager
def _alone_at(org: Organization) -> Iterator[None]:
    """Hold the organisation's migration lock; it goes with the connection if we are killed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", [_MIGRATION_LOCK, org.pk])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_MIGRATION_LOCK, org.pk])


def behind() -> list[Organization]:
    """The organisations whose schema lacks a migration."""
    return list(Organization.objects.exclude(migrated_to=fingerprint()).order_by("pk"))


def drop(org: Organization) -> None:
    """Delete the organisation with everything it owns. There is no way back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {quote_schema_name(org.schema_name)} CASCADE")
        org.memberships.all().delete()
        Organization.objects.filter(pk=org.pk).delete()
    _known_schemas.discard(org.schema_name)
