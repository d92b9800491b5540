"""Files that an organisation keeps beside the database: under names of our own, whole or not at all.

The bytes are on disk before the row that leads to them commits; where it doesn't after all, nobody's id leads there.
Everything here happens inside `org_scope`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction

from openintern import data_directory


def write(kind: str, name: str, content: bytes) -> None:
    """Write a file that isn't there yet. `name` is ours: never what somebody called it."""
    write_pieces(kind, name, [content])


def write_pieces(kind: str, name: str, pieces: Iterable[bytes]) -> None:
    """Write a file that comes piece by piece, so that none of it has to be in memory whole."""
    path = path_of(kind, name)
    data_directory.ensure(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def read(kind: str, name: str) -> bytes:
    """Return a file's bytes. Raises FileNotFoundError where they are gone."""
    return path_of(kind, name).read_bytes()


def remove_on_commit(kind: str, name: str) -> None:
    """Remove a file once nothing leads to it any more: when the transaction under way has committed."""
    path = path_of(kind, name)
    transaction.on_commit(lambda: path.unlink(missing_ok=True))


def hold_quota(kind: str) -> None:
    """Let nobody else add files of this kind until the transaction ends: those that come together are counted together."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{_schema()}:{kind}"])


def path_of(kind: str, name: str) -> Path:
    """Return where a file is. Every part is ours: the kind, the schema's name, and a name from a row."""
    base: Path = settings.CONFIG.server.base_dir
    return base / kind / _schema() / name


def _schema() -> str:
    return str(connection.schema_name)  # type: ignore[attr-defined]
