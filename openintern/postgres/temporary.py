"""A server for the length of a block."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openintern import data_directory
from openintern.postgres.server import Server

#: Nothing has to outlive a crash here, so nothing waits for the disk.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "10s"}


@contextmanager
def temporary_server() -> Iterator[str]:
    """Start a server of its own in a new directory; yield its address; leave nothing behind."""
    place = Path(tempfile.mkdtemp(prefix="openintern-"))
    try:
        place.chmod(data_directory.private_mode())
        server = Server(place / "data", settings=CARELESS)
        process = server.start()
        try:
            yield server.url()
        finally:
            server.stop(process)
            server.destroy()
    finally:
        shutil.rmtree(place, ignore_errors=True)
