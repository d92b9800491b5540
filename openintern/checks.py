"""What every installation needs: a database, its tables, a place to keep things."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from openintern import data_directory, live
from openintern.health import Finding, check
from openintern.postgres import running_url
from openintern.tenancy import schemas

OLDEST_POSTGRESQL = 15
LITTLE_SPACE = 500 * 1024 * 1024  # bytes


@check("database", essential=True, needs_database=False, order=10)
def database() -> Finding:
    """A PostgreSQL that answers and is not too old."""
    remedy = "Start everything with `manage.py up`, or look at DATABASE_URL."
    if not settings.CONFIG.server.database_url and running_url(_base_dir()) is None:
        return Finding(False, "unavailable", f"no DATABASE_URL, and `up` isn't running for {_base_dir()}", remedy)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')"
            )
            major, version = cursor.fetchone()
    except Exception as error:  # noqa: BLE001  that it doesn't answer, for whatever reason, is the finding
        summary = f"not reachable: {str(error).strip().splitlines()[0]}"
        return Finding(False, "unavailable", summary, remedy)
    if major < OLDEST_POSTGRESQL:
        return Finding(False, "too old", f"PostgreSQL {version}", f"Move to PostgreSQL {OLDEST_POSTGRESQL} or newer.")
    return Finding(True, "ok", f"PostgreSQL {version}")


@check("extension", public=False, order=15)
def extension() -> Finding:
    """pgvector in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        row = cursor.fetchone()
    if row is None:
        return Finding(False, "missing", "pgvector is not in the database", "As its superuser: CREATE EXTENSION vector")
    return Finding(True, row[0], f"pgvector {row[0]}")


@check("migrations", essential=True, fix=lambda: call_command("migrate_schemas", verbosity=0), order=20)
def migrations() -> Finding:
    """Every migration the code knows, in `public` and in each organisation."""
    remedy = "Run `manage.py migrate_schemas`."
    if missing := _missing_in_public():
        return Finding(False, "behind", f"{missing} missing in the public schema", remedy)
    behind = schemas.behind()
    if behind:
        names = ", ".join(org.slug for org in behind[:5]) + (" …" if len(behind) > 5 else "")
        return Finding(False, "behind", f"{len(behind)} organisations are behind: {names}", remedy)
    return Finding(True, "ok", "all applied")


def _missing_in_public() -> int:
    """Return how many migrations `public` lacks. Once it has them all it keeps them, so that is asked only once."""
    known = _known_migrations()
    if known <= _applied_for_good:
        return 0
    loader = MigrationLoader(connection)
    applied = {node for node in known if node in loader.applied_migrations}
    _applied_for_good.update(applied)
    return len(known - applied)


_applied_for_good: set[tuple[str, str]] = set()


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)


@check("sse", needs_database=False, order=45)
def sse() -> Finding:
    """Live streams that this web process holds open."""
    clients = live.client_count()
    return Finding(True, {"clients": clients}, f"{clients} open in this process")


def _base_dir() -> Path:
    path: Path = settings.CONFIG.server.base_dir
    return path


@check("data directory", public=False, needs_database=False, fix=lambda: data_directory.ensure(_base_dir()), order=70)
def data_dir() -> Finding:
    """The directory for everything that isn't in the database."""
    path = _base_dir()
    if not path.is_dir():
        return Finding(False, "missing", f"{path} doesn't exist", "`doctor --fix` makes it.")
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(
            False, "not writable", f"{path} is not writable", "Change its owner, or choose another DATA_DIR."
        )
    return Finding(True, "ok", str(path))


@check("disk", public=False, needs_database=False, order=75)
def disk() -> Finding:
    """Room for files and, with the embedded PostgreSQL, for the database."""
    path = next(place for place in (_base_dir(), *_base_dir().parents) if place.exists())
    free = shutil.disk_usage(path).free
    summary = f"{free / 1024**3:.1f} GiB free"
    return Finding(free >= LITTLE_SPACE, free, summary, "Free some space: without it no run can be recorded.")
