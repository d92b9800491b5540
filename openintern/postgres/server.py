"""Start, find and stop the embedded server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from openintern.postgres import cluster as clusters
from openintern.postgres.cluster import DATABASE, ROLE, Cluster
from openintern.postgres.errors import PostgresError
from openintern.supervision import end, spawn

HOST = "127.0.0.1"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": "openintern",
}
START_WITHIN = 120.0  # seconds; a start after a crash has work to do first
STOP_WITHIN = 30.0
LOG_LIMIT = 10_000_000  # bytes; a longer log is put aside at the next start
_LOOK_EVERY = 0.02


class Server:
    """The server of one data directory. Whoever starts it holds the directory (`openintern.instance`)."""

    def __init__(self, base_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.base_dir = base_dir
        self.settings = {**SETTINGS, **(settings or {})}
        self.log = clusters.home(base_dir) / "server.log"

    def start(self) -> subprocess.Popen[str]:
        """Start the server and return when it accepts connections. It ends with the calling thread.

        Raises PostgresError with the end of the server's log.
        """
        cluster = clusters.ensure(self.base_dir)
        _end_predecessor(cluster.path)
        self._put_log_aside()
        deadline = time.monotonic() + START_WITHIN
        connection = clusters.read_connection(self.base_dir)
        port = (connection.port if connection else 0) or _free_port()
        while True:
            process, said = self._try(cluster, port=port, deadline=deadline)
            if process is not None:
                clusters.remember_port(self.base_dir, port)
                return process
            # What a server leaves behind that was killed goes a moment after it.
            if "Address already in use" in said:
                port = _free_port()
            elif "still in use" not in said or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start. The end of {self.log}:\n{said.strip()[-2000:]}")
            time.sleep(_LOOK_EVERY)

    def stop(self, process: subprocess.Popen[str]) -> None:
        """End all sessions and stop; without a last checkpoint if it takes too long."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=STOP_WITHIN)
            except subprocess.TimeoutExpired:
                end(process, stop_signal=signal.SIGQUIT, within=5)

    def destroy(self) -> None:
        """Delete the database of a stopped server, wherever its files are. There is no way back."""
        connection = clusters.read_connection(self.base_dir)
        if connection is not None:
            shutil.rmtree(clusters.path_of(self.base_dir, connection))
        shutil.rmtree(clusters.home(self.base_dir))

    def url(self) -> str:
        """Return the address of the database, password included."""
        url = running_url(self.base_dir)
        if url is None:
            raise PostgresError(f"No server is running for {self.base_dir}")
        return url

    def _try(self, cluster: Cluster, *, port: int, deadline: float) -> tuple[subprocess.Popen[str] | None, str]:
        """Start once: the process when it is ready, else None and what the server said."""
        with self.log.open("a+", encoding="utf-8", errors="replace") as log:
            self.log.chmod(0o600)
            before = log.seek(0, os.SEEK_END)
            process = spawn(
                clusters.command_line(cluster, {**self.settings, "port": str(port)}),
                environ=clusters.ENVIRONMENT,
                account=cluster.account,
                death_signal=signal.SIGINT,
                stdout=log,
                stderr=log,
                cwd="/",
            )
            try:
                while process.poll() is None and time.monotonic() < deadline:
                    if (postmaster := _read_postmaster(cluster.path)) and postmaster.is_ready_as(process.pid):
                        return process, ""
                    time.sleep(_LOOK_EVERY)
            except BaseException:
                self.stop(process)
                raise
            self.stop(process)
            log.seek(before)
            return None, log.read()

    def _put_log_aside(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))


def running_url(base_dir: Path) -> str | None:
    """Return the address of the server that is running for this data directory; None if there is none.

    Reads two small files and asks no server: settings may call it in every process.
    """
    connection = clusters.read_connection(base_dir)
    if connection is None:
        return None
    path = clusters.path_of(base_dir, connection)
    postmaster = _read_postmaster(path)
    if postmaster is None or not postmaster.port or not _serves(postmaster.pid, path):
        return None
    return f"postgresql://{ROLE}:{connection.password}@{HOST}:{postmaster.port}/{DATABASE}"


@dataclass(frozen=True)
class _Postmaster:
    """What a server wrote into postmaster.pid; it is believed only while that process serves the cluster."""

    pid: int
    port: int
    status: str

    def is_ready_as(self, pid: int) -> bool:
        return self.pid == pid and self.status == "ready"


def _read_postmaster(path: Path) -> _Postmaster | None:
    try:
        lines = (path / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    lines += [""] * (8 - len(lines))
    pid, port = (int(text) if text.strip().isdigit() else 0 for text in (lines[0], lines[3]))
    return _Postmaster(pid, port, lines[7].strip()) if pid else None


def _serves(pid: int, path: Path) -> bool:
    """Whether process `pid` is a PostgreSQL server of the cluster at `path` (and not a newcomer with its number)."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return arguments[0].endswith(b"postgres") and os.fsencode(path) in arguments


def _end_predecessor(path: Path) -> None:
    """Wait for a server that lost its parent a moment ago, and forget one that is gone.

    Nobody else may serve this cluster, since we hold its data directory. PostgreSQL itself takes any
    living process with the number in postmaster.pid for a server, and then refuses to start for ever.
    """
    postmaster = _read_postmaster(path)
    if postmaster is None:
        return
    deadline = time.monotonic() + STOP_WITHIN
    asked = False
    while _serves(postmaster.pid, path):
        if not asked:
            os.kill(postmaster.pid, signal.SIGINT)
            asked = True
        if time.monotonic() > deadline:
            raise PostgresError(f"A PostgreSQL server (process {postmaster.pid}) still uses {path} and doesn't stop")
        time.sleep(_LOOK_EVERY)
    (path / "postmaster.pid").unlink(missing_ok=True)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
