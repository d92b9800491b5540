"""Whom the server runs as. PostgreSQL refuses to run as root, so root needs somebody else for it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from openintern.postgres.errors import PostgresError
from openintern.supervision import Account

NAME = "openintern"


def server_account(cluster: Path) -> Account | None:
    """Return the account to serve `cluster` as: None for ourselves.

    Root serves an existing cluster as whoever owns it, and a new one as the system user `openintern`,
    which is made where it is missing.
    """
    if os.geteuid() != 0:
        return None
    owner = cluster.stat().st_uid if cluster.exists() else 0
    try:
        entry = pwd.getpwuid(owner) if owner else _system_user()
    except KeyError:
        raise PostgresError(f"{cluster} belongs to user {owner}, who doesn't exist on this machine") from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        _make_system_user()
        return pwd.getpwnam(NAME)


def _make_system_user() -> None:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise PostgresError(
            f"PostgreSQL doesn't run as root, and there is no useradd to make the user {NAME}: "
            "make that user, start as another user, or set DATABASE_URL"
        )
    options = [
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
    ]
    made = subprocess.run([program, *options, NAME], capture_output=True, text=True, check=False)
    if made.returncode not in (0, 9):  # 9: somebody else made it just now
        raise PostgresError(f"The system user {NAME} can't be made: {made.stderr.strip()}")


def can_enter(directory: Path, account: Account) -> bool:
    """Whether the account may pass through `directory`, which the kernel knows best."""
    tried = subprocess.run(
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0
