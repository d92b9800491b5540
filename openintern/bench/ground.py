"""Where it is measured: a PostgreSQL made for it, durable as in earnest, with one organisation in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.core.management import call_command
from django.db import connections

from openintern import data_directory
from openintern.postgres import Server
from openintern.tenancy.bootstrap import ensure_first_organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope

#: Set in the processes that measure: they may fill and empty the database that they are given.
ALLOWED = "OPENINTERN_BENCH"
#: No checkpoint in the middle: pages that are logged whole after one say nothing of what was measured.
_SETTINGS = {"max_connections": "300", "checkpoint_timeout": "1h", "max_wal_size": "8GB"}


@contextmanager
def throw_away_server() -> Iterator[tuple[str, Path]]:
    """Start a server in a new directory; yield its address and the directory; leave nothing behind."""
    place = Path(tempfile.mkdtemp(prefix="openintern-bench-"))
    try:
        place.chmod(data_directory.private_mode())
        server = Server(place / "data", settings=_SETTINGS)
        process = server.start()
        try:
            yield server.url(), place
        finally:
            server.stop(process)
            server.destroy()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure_elsewhere(command: Sequence[str], *, url: str, place: Path, environ: Mapping[str, str]) -> int:
    """Run one of our commands on the throw-away server in a process of its own; return its exit code."""
    told = {
        **os.environ,
        "DATABASE_URL": url,
        "DATA_DIR": str(place / "files"),
        "OPENINTERN_CONFIG": os.devnull,
        "EMBEDDING_MODEL": "hash",
        **environ,
        ALLOWED: "yes",
    }
    return subprocess.run([sys.executable, "-m", "openintern", *command], env=told, check=False).returncode


def is_allowed() -> bool:
    """Whether this process was given a database to throw away."""
    return os.environ.get(ALLOWED) == "yes"


def prepare() -> Scope:
    """Make the tables and the first organisation; return the scope of its owner."""
    call_command("migrate_schemas", verbosity=0)
    first = ensure_first_organization()
    connections.close_all()
    return Scope(org=first.org, user=first.user, role=Role.OWNER)
