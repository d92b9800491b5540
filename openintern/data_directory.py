"""The data directory: what one installation keeps between two starts."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path


def ensure(path: Path) -> Path:
    """Make the directory where it is missing; one that exists keeps its mode.

    It holds secrets, so others may not look into it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(private_mode())  # not left to the umask
    return path


def private_mode() -> int:
    """Return the mode of a directory of ours. Where we are root, the database's user must pass through to its files."""
    return 0o711 if os.geteuid() == 0 else 0o700


def keep_secret(base_dir: Path, name: str) -> str:
    """Return the secret kept under `name`, made at the first call, readable by its owner only.

    Processes may call this at the same time: all get the same secret.
    """
    path = ensure(base_dir) / name
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        write_private(path, secrets.token_urlsafe(48), replace=False)
        return path.read_text(encoding="ascii").strip()


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a file of mode 600 whole or not at all; without `replace` the first writer wins."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
            return
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink(missing_ok=True)
