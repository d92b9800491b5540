"""One organisation's schema brought up to date, the costly part of it worked out once for all of them.

Django works the models' state out anew for every schema, which takes a hundred times as long as the SQL does. Here the
way from a set of applied migrations to the newest is worked out once, and each schema that stands there takes it.
Records, transactions and order are Django's: its own `migrate`, killed anywhere, can go on from here, and the reverse.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.db import connection as _connection
from django.db import router, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

connection: Any = _connection  # what django-tenants adds to it has no types

#: A table that somebody keeps locked makes its own organisation wait for the next try, not the whole deploy.
_LOCK_TIMEOUT: Final = "30s"
_loading: Final = threading.Lock()


@dataclass(frozen=True)
class Step:
    """One migration with the state before and after each of its operations.

    `unrelated` are those of shared apps that come before it: they do nothing here, and are recorded along with it.
    """

    migration: Migration
    operations: tuple[tuple[Operation, ProjectState, ProjectState], ...]
    unrelated: tuple[Migration, ...]


def upgrade(schema: str) -> None:
    """Apply what the schema lacks. What was applied stays applied, whatever happens: a later call goes on there."""
    with _inside(schema):
        MigrationRecorder(connection).ensure_schema()  # seen only without `public` in sight
        connection.set_schema(schema)
        executor = _executor()
        for step in _steps(frozenset(executor.loader.applied_migrations)):
            _take(step, executor)
        executor.check_replacements()


def forget() -> None:
    """Free the memory that the ways take up."""
    _steps.cache_clear()


def _executor() -> MigrationExecutor:
    """Return Django's, one at a time: it reloads the packages of migrations, and who lists one meanwhile misses some."""
    with _loading:
        return MigrationExecutor(connection)


@contextmanager
def _inside(schema: str) -> Iterator[None]:
    before = connection.tenant
    connection.set_schema(schema, include_public=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
        yield
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    finally:
        connection.set_tenant(before)


@lru_cache(maxsize=4)
def _steps(applied: frozenset[tuple[str, str]]) -> tuple[Step, ...]:
    """Return the way from `applied` to the newest, for the schema that is entered and all that stand where it does."""
    executor = _executor()
    loader = executor.loader
    state = ProjectState(real_apps=loader.unmigrated_apps)
    steps: list[Step] = []
    unrelated: list[Migration] = []
    for migration, _ in executor.migration_plan(loader.graph.leaf_nodes(), clean_start=True):
        if (migration.app_label, migration.name) in applied:
            migration.mutate_state(state, preserve=False)
        elif router.allow_migrate(connection.alias, migration.app_label):
            operations, state = _operations(migration, state)
            steps.append(Step(migration, operations, tuple(unrelated)))
            unrelated = []
        else:
            state = migration.mutate_state(state)
            unrelated.append(migration)
    return tuple(steps)


def _operations(
    migration: Migration, state: ProjectState
) -> tuple[tuple[tuple[Operation, ProjectState, ProjectState], ...], ProjectState]:
    """Return the migration's operations with their states, and the state after all of them."""
    state.apps  # noqa: B018  rendered once, here: the copies take it along
    found = []
    for operation in migration.operations:
        before, state = state, state.clone()
        operation.state_forwards(migration.app_label, state)
        found.append((operation, before, state))
    return tuple(found), state


def _take(step: Step, executor: MigrationExecutor) -> None:
    """Apply one migration and record it, in one transaction unless the migration says it can't be."""
    with transaction.atomic() if step.migration.atomic else nullcontext():
        for migration in step.unrelated:
            executor.record_migration(migration)  # type: ignore[call-arg, arg-type]  # the stubs are of an older Django
        with connection.schema_editor(atomic=step.migration.atomic) as editor:
            for operation, before, after in step.operations:
                _carry_out(operation, step.migration, editor, before=before, after=after)
        executor.record_migration(step.migration)  # type: ignore[call-arg, arg-type]


def _carry_out(
    operation: Operation,
    migration: Migration,
    editor: BaseDatabaseSchemaEditor,
    *,
    before: ProjectState,
    after: ProjectState,
) -> None:
    """Carry an operation out, in a transaction of its own where it wants one and the migration has none."""
    wants_one = operation.atomic and not editor.atomic_migration
    with transaction.atomic() if wants_one else nullcontext():
        operation.database_forwards(migration.app_label, editor, before, after)
