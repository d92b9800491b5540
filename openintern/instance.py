"""One installation at a time uses a data directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openintern import data_directory


class InUse(Exception):
    """Another process has the data directory; the message is fit for the person at the terminal."""


@contextmanager
def hold(base_dir: Path) -> Iterator[None]:
    """Have the data directory for ourselves. The kernel gives it back when we end, however we end.

    Raises InUse, naming the holder.
    """
    path = data_directory.ensure(base_dir) / "instance.lock"
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InUse(
                f"{base_dir} is in use by another OpenIntern (process {file.read().strip() or 'unknown'}). "
                "Stop that one, or choose another place with --data-dir."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
