"""A release reaches the organisations: all of them, whatever happens on the way, and as Django's own command would have it.

The next release has a column and an index more (`tests.tenancy.next_release`). The organisations are made for each test
and go with it: those of the cast stay at today's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from openintern.database import own_connection_parameters
from openintern.ids import random_text
from openintern.tenancy import people, rollout, schemas, upgrade
from openintern.tenancy.models import Organization
from tests.conftest import Cast
from tests.faults.processes import ROOT, wait_until
from tests.tenancy.next_release.migrations.next_release import NEWEST

Make = Callable[[int], list[Organization]]


@pytest.fixture
def organisations(committed: Cast) -> Iterator[Make]:
    """Make so many organisations of today's release; they are gone after the test."""
    made: list[Organization] = []

    def make(count: int) -> list[Organization]:
        new = [people.create_organization(f"rollout-{random_text(8).lower()}") for _ in range(count)]
        made.extend(new)
        return new

    yield make
    for org in made:
        schemas.drop(org)


@pytest.fixture
def release(settings: Any) -> Iterator[Callable[[], None]]:
    """Call it, and this process has the next release."""

    def arrive() -> None:
        settings.MIGRATION_MODULES = {"runs": "tests.tenancy.next_release.migrations"}
        schemas.fingerprint.cache_clear()
        upgrade.forget()

    yield arrive
    settings.MIGRATION_MODULES = {}
    schemas.fingerprint.cache_clear()
    upgrade.forget()


def test_every_organisation_gets_it(organisations: Make, release: Callable[[], None]) -> None:
    ours = organisations(6)
    release()

    assert errors_of(ours) == []

    assert all(is_there(org) for org in ours)


def test_an_organisation_that_can_not_be_migrated_keeps_none_of_the_others_from_it(
    organisations: Make, release: Callable[[], None]
) -> None:
    ours = organisations(5)
    broken = ours[2]
    run(f"ALTER TABLE {broken.schema_name}.runs_run ADD COLUMN mood int")
    release()

    [(failed, error)] = [(org, error) for org, error in rollout.migrate_all(ours) if error]

    assert failed == broken
    assert "mood" in str(error)
    assert [is_there(org) for org in ours] == [True, True, False, True, True]
    run(f"ALTER TABLE {broken.schema_name}.runs_run DROP COLUMN mood")
    assert errors_of([broken]) == []
    assert is_there(broken)


def test_a_deploy_that_is_killed_half_way_goes_on_where_it_was(
    organisations: Make, release: Callable[[], None]
) -> None:
    ours = organisations(5)
    last = ours[-1]
    with somebody_reads(last):
        machine = a_machine(ours)
        wait_until(lambda: is_waited_for(last), within=120, what="the wait for the table that is read")
        wait_until(lambda: all(has_column(org) for org in ours[:-1]), within=60, what="the others' column")
        machine.kill()
        machine.wait()
    release()
    wait_until(lambda: not has_sessions_at(last), within=30, what="the end of the killed one's session")

    assert not has_column(last)
    assert errors_of(ours) == []
    assert all(is_there(org) for org in ours)


def test_machines_of_one_deploy_start_together(organisations: Make, release: Callable[[], None]) -> None:
    ours = organisations(4)

    machines = [a_machine(ours), a_machine(ours)]

    assert [machine.wait(180) for machine in machines] == [0, 0]
    release()
    assert all(is_there(org) for org in ours)
    assert [times_recorded(org) for org in ours] == [1, 1, 1, 1]


def test_it_leaves_what_djangos_own_command_leaves(organisations: Make, release: Callable[[], None]) -> None:
    by_us, by_django = organisations(2)
    release()

    assert errors_of([by_us]) == []
    call_command("migrate_schemas", schema_name=by_django.schema_name, verbosity=0)

    assert shape_of(by_us) == shape_of(by_django)
    assert times_recorded(by_django) == 1


def test_what_djangos_own_command_has_migrated_is_found_done(organisations: Make, release: Callable[[], None]) -> None:
    [org] = organisations(1)
    release()
    call_command("migrate_schemas", schema_name=org.schema_name, verbosity=0)

    assert errors_of([org]) == []

    assert is_there(org)
    assert times_recorded(org) == 1


def test_djangos_own_command_takes_it_back(organisations: Make, release: Callable[[], None]) -> None:
    [org] = organisations(1)
    before = shape_of(org)
    release()
    assert errors_of([org]) == []

    call_command("migrate_schemas", "runs", NEWEST, schema_name=org.schema_name, verbosity=0)

    assert shape_of(org) == before
    assert times_recorded(org) == 0


def errors_of(organisations: list[Organization]) -> list[Exception]:
    return [error for _, error in rollout.migrate_all(organisations) if error]


def is_there(org: Organization) -> bool:
    """Whether the organisation has the next release, and is known to have it."""
    return has_column(org) and schemas.is_current(Organization.objects.get(pk=org.pk))


def has_column(org: Organization) -> bool:
    return bool(
        ask(
            "SELECT FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = 'runs_run' AND column_name = 'mood'",
            org.schema_name,
        )
    )


def times_recorded(org: Organization) -> int:
    [(count,)] = ask(f"SELECT count(*) FROM {org.schema_name}.django_migrations WHERE name = 'next_release'")
    return int(count)


def shape_of(org: Organization) -> list[tuple[Any, ...]]:
    """Everything that the schema's tables are made of, its own name aside."""
    schema = org.schema_name
    columns = ask(
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = %s ORDER BY 1, 2",
        schema,
    )
    indexes = ask("SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = %s ORDER BY 1, 2", schema)
    constraints = ask(
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = %s::regnamespace ORDER BY 1, 2",
        schema,
    )
    found = [*columns, *indexes, *constraints]
    return [tuple(part.replace(schema, "…") if isinstance(part, str) else part for part in row) for row in found]


@contextmanager
def somebody_reads(org: Organization) -> Iterator[None]:
    """Keep a transaction that has read the organisation's runs: a new column has to wait for its end."""
    with psycopg.connect(**own_connection_parameters()) as reader:
        reader.execute(sql.SQL("SELECT FROM {}.runs_run").format(sql.Identifier(org.schema_name)))
        yield


def is_waited_for(org: Organization) -> bool:
    return bool(
        ask(
            "SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
            " WHERE NOT granted AND relname = 'runs_run' AND relnamespace = %s::regnamespace",
            org.schema_name,
        )
    )


def has_sessions_at(org: Organization) -> bool:
    """Whether a session holds anything of the organisation's; the test's own has nothing open."""
    return bool(
        ask(
            "SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE relnamespace = %s::regnamespace",
            org.schema_name,
        )
    )


def a_machine(organisations: list[Organization]) -> subprocess.Popen[bytes]:
    """Start a deploy to the organisations in a process of its own."""
    database = f"/{connection.settings_dict['NAME']}"
    base, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    return subprocess.Popen(
        [sys.executable, "-m", "tests.tenancy.next_release.roll_out", *(org.slug for org in organisations)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": base + database},
    )


def ask(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
