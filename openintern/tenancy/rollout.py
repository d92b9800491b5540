"""A new release reaches every organisation's schema: several at a time, and one that fails stops none of the others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Final

import psycopg
from django.core.management.base import CommandError
from django.db import connection

from openintern.database import own_connection_parameters
from openintern.tenancy import schemas, upgrade
from openintern.tenancy.models import Organization

#: While one waits for the database, another writes its next statement; more would only wait for each other.
AT_ONCE: Final = 4
_PUBLIC_LOCK = 0x6F69_0003  # any number that nobody else uses


class SomeNotMigrated(CommandError):
    """These organisations are closed until the next try; all others are served."""


def migrate_all(behind: list[Organization]) -> Iterator[tuple[Organization, Exception | None]]:
    """Bring the organisations up to date; yield each as it is done, with what went wrong if anything did.

    May be killed at any time and be called again, also by several machines at once. The first goes alone: what it
    works out serves the others.
    """
    first, others = behind[:1], behind[1:]
    yield from ((org, _migrate(org)) for org in first)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="rollout") as threads:
        going = {threads.submit(_migrate_in_thread, org): org for org in others}
        try:
            yield from ((going[done], done.result()) for done in as_completed(going))
        finally:
            threads.shutdown(cancel_futures=True)  # when somebody loses patience: what is going on is finished
    upgrade.forget()


@contextmanager
def alone_at_public() -> Iterator[None]:
    """Let one process at a time migrate `public`: machines of one deploy start together."""
    with connection.wrap_database_errors:  # whoever calls knows Django's errors, not the driver's
        own = psycopg.connect(**own_connection_parameters(), autocommit=True)
    with own:
        own.execute("SELECT pg_advisory_lock(%s)", [_PUBLIC_LOCK])
        yield


def _migrate_in_thread(org: Organization) -> Exception | None:
    try:
        return _migrate(org)
    finally:
        connection.close()  # it would remember every schema it has visited


def _migrate(org: Organization) -> Exception | None:
    try:
        schemas.create(org)
    except Exception as error:  # noqa: BLE001  the outermost edge: told to the operator, with a non-zero exit
        return error
    return None
