"""The processes that `up` keeps alive: database, web server, workers, embedder, reader, connector."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from openintern.postgres import Server
from openintern.supervision import Service, end, spawn

#: Where the packages are, for processes that are started elsewhere than in a checkout.
ROOT = Path(__file__).resolve().parent.parent.parent
#: Seconds for a worker to finish its step or hand its run back; then it is ended and another resumes.
WORKERS_STOP_WITHIN = 35.0
WEB_STOP_WITHIN = 5.0
EMBEDDER_STOPS_WITHIN = 5.0  # a batch that it doesn't finish is made again by the next one
CONNECTOR_STOPS_WITHIN = 5.0  # a sync that it doesn't finish goes on where it was
READER_STOPS_WITHIN = 5.0  # a document that it doesn't finish is begun again by the next one
COURIER_STOPS_WITHIN = 20.0  # a message that it doesn't finish is sent again by the next one
STDERR = 2
LONGEST_FRAME = 256 * 1024  # bytes of a WebSocket's message; what is too long for us is turned away while it comes
STREAMS_CLOSE_WITHIN = 2  # an open live stream would hold the web server's stop for ever


def database(base_dir: Path) -> Service:
    """The embedded PostgreSQL of the data directory."""
    server = Server(base_dir)
    return Service("PostgreSQL", start=server.start, stop=server.stop)


def web(*, host: str, port: int) -> Service:
    """The ASGI server, with pages, API and live streams."""
    command = [sys.executable, "-m", "uvicorn", "openintern.asgi:application", "--host", host, "--port", str(port)]
    quiet = ["--no-access-log", "--log-level", "warning", "--no-server-header"]
    ending = ["--timeout-graceful-shutdown", str(STREAMS_CLOSE_WITHIN)]
    sockets = ["--ws-max-size", str(LONGEST_FRAME)]
    return _service("The web server", [*command, *quiet, *ending, *sockets], stop_within=WEB_STOP_WITHIN)


def workers() -> Service:
    """The worker cluster (OPENINTERN_WORKERS processes) with its scheduler."""
    return _service("The worker cluster", command_line("qcluster"), stop_within=WORKERS_STOP_WITHIN)


def embedder() -> Service:
    """What makes the vectors of new memories. One a machine: a model is large, and uses every core by itself."""
    return _service("The embedder", command_line("embedder"), stop_within=EMBEDDER_STOPS_WITHIN)


def reader() -> Service:
    """What reads documents that were sent, each in a process of its own that can harm nothing."""
    return _service("The reader of documents", command_line("reader"), stop_within=READER_STOPS_WITHIN)


def connector() -> Service:
    """What brings in knowledge from elsewhere, as syncs are asked for."""
    return _service("The connector", command_line("connector"), stop_within=CONNECTOR_STOPS_WITHIN)


def courier() -> Service:
    """What sends webhooks, apart from the runs that they tell of."""
    return _service("The courier", command_line("courier"), stop_within=COURIER_STOPS_WITHIN)


def command_line(*arguments: str) -> list[str]:
    """Return how to run one of our own commands in a process of its own."""
    return [sys.executable, "-m", "openintern", *arguments]


def start(command: list[str], *, stdout: int | None = STDERR) -> subprocess.Popen[str]:
    """Start a process of ours. What it says goes to stderr, unless its output is what was asked for (None: ours)."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return spawn(command, environ={**os.environ, "PYTHONPATH": path}, stdout=stdout)


def _service(name: str, command: list[str], *, stop_within: float) -> Service:
    return Service(
        name,
        start=partial(start, command),
        stop=partial(end, stop_signal=None, within=stop_within),
        stop_signal=signal.SIGTERM,
    )
