"""The files of one embedded database: where they are, and how they are made."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from openintern import data_directory
from openintern.postgres.account import can_enter, server_account
from openintern.postgres.binaries import SHARED_PLACE, bin_directory
from openintern.postgres.errors import PostgresError
from openintern.supervision import Account, spawn

ROLE = "openintern"
DATABASE = "openintern"
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}  # nothing of ours: keys and passwords are none of its business

_HBA = """\
# Written by OpenIntern. Only the loopback interface, only with a password.
host all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class Connection:
    """How to reach the cluster, kept in the data directory for its owner only.

    `place` is absolute, or relative to the file when the cluster is beside it, so that the data
    directory can be moved. `port` is the one used last; a start tries it first.
    """

    place: str
    password: str
    port: int = 0


def home(base_dir: Path) -> Path:
    """Return the directory of the embedded server within the data directory."""
    return base_dir / "postgres"


def connection_file(base_dir: Path) -> Path:
    return home(base_dir) / "connection.json"


def read_connection(base_dir: Path) -> Connection | None:
    """Return how to reach the cluster of this data directory; None if there is none or it isn't ours to know."""
    try:
        content = json.loads(connection_file(base_dir).read_text(encoding="utf-8"))
        return Connection(str(content["place"]), str(content["password"]), int(content["port"]))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise PostgresError(f"{connection_file(base_dir)} is damaged ({error}): restore it from a backup") from error


def write_connection(base_dir: Path, connection: Connection) -> None:
    content = {"place": connection.place, "password": connection.password, "port": connection.port}
    data_directory.write_private(connection_file(base_dir), json.dumps(content, indent=2) + "\n")


def path_of(base_dir: Path, connection: Connection) -> Path:
    """Return the absolute path of PostgreSQL's own data directory."""
    return home(base_dir) / connection.place


@dataclass(frozen=True)
class Cluster:
    """A complete cluster, the account that serves it and the programs that account can run."""

    path: Path
    account: Account | None
    programs: Path


def ensure(base_dir: Path) -> Cluster:
    """Return the cluster of this data directory, made if there is none.

    Whoever calls this holds the data directory (`openintern.instance`). A making that was cut short is
    begun again: the cluster gets its name when it is complete.
    """
    data_directory.ensure(base_dir)
    data_directory.ensure(home(base_dir))
    _refuse_foreign(base_dir)
    connection = read_connection(base_dir) or Connection(_choose_place(base_dir), secrets.token_urlsafe(32))
    path = path_of(base_dir, connection)
    account = server_account(path)
    cluster = Cluster(path, account, bin_directory(account))
    if not path.exists():
        write_connection(base_dir, connection)
        _make(cluster, password=connection.password)
    return cluster


def remember_port(base_dir: Path, port: int) -> None:
    """Note the port in use, where others look it up and the next start tries it first."""
    connection = read_connection(base_dir)
    if connection is not None and connection.port != port:
        write_connection(base_dir, replace(connection, port=port))


def _refuse_foreign(base_dir: Path) -> None:
    file = connection_file(base_dir)
    if file.exists() and not os.access(file, os.R_OK):
        raise PostgresError(f"The database in {base_dir} was made by another user: start as that user")
    if not file.exists() and (home(base_dir) / "cluster").exists():
        raise PostgresError(f"{file} is missing, and with it the database's password: restore it from a backup")


def _choose_place(base_dir: Path) -> str:
    """Beside the connection file wherever the server's account can go there; else where it can."""
    account = server_account(home(base_dir) / "cluster")
    if account is None or can_enter(home(base_dir), account):
        return "cluster"
    return str(SHARED_PLACE / "clusters" / secrets.token_hex(8))


def _make(cluster: Cluster, *, password: str) -> None:
    cluster.path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    unfinished = cluster.path.with_name(cluster.path.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if cluster.account is not None:
        os.chown(unfinished, cluster.account.uid, cluster.account.gid)
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    # Nobody signs in as PostgreSQL's superuser: it has no password, and pg_hba.conf asks for one.
    access = ["--username=postgres", "--auth=reject"]
    _run(cluster, ["initdb", *locale, *access, "--no-instructions", "--pgdata", str(unfinished)])
    hba = unfinished / "pg_hba.conf"
    hba.write_text(_HBA, encoding="ascii")
    statements = (
        "CREATE EXTENSION vector",  # takes a superuser; every database is made from this one
        f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
    )
    single_user = ["postgres", "--single", "-c", "exit_on_error=on", "-D", str(unfinished), "template1"]
    _run(cluster, single_user, typed="\n".join(statements) + "\n")
    unfinished.rename(cluster.path)


def _run(cluster: Cluster, command: list[str], *, typed: str = "") -> None:
    process = spawn(
        [str(cluster.programs / command[0]), *command[1:]],
        environ=ENVIRONMENT,
        account=cluster.account,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
    )
    output, _ = process.communicate(typed)
    if process.returncode != 0:
        raise PostgresError(f"{command[0]} failed: {output.strip()[-2000:]}")


def command_line(cluster: Cluster, settings: Mapping[str, str]) -> list[str]:
    """Return the command that serves the cluster with these settings."""
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(cluster.programs / "postgres"), "-D", str(cluster.path), *options]
