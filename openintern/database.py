"""Where the database is, and how its connections behave."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from django.db import connection

from openintern.configuration import Configuration
from openintern.postgres import running_url

POOL_SIZE = 20

#: When a peer counts as gone that no longer answers, not even with a reset: a machine without power, a firewall that
#: forgot the connection. What was sent has to be acknowledged within 15 s; where nothing is sent, three probes tell
#: after 10 + 3 × 3 s. Whoever needs other bounds names them in DATABASE_URL.
NETWORK = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def database_settings(config: Configuration) -> dict[str, Any]:
    """Return Django's settings for the one database: DATABASE_URL, or the embedded server that `up` started.

    Where neither is there, the settings name no host, and the first query says so.
    """
    url = config.server.database_url or running_url(config.server.base_dir) or "postgresql:///openintern"
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": unquote(parts.path.lstrip("/")) or "openintern",
        "USER": unquote(parts.username or query.pop("user", "")),
        "PASSWORD": unquote(parts.password or query.pop("password", "")),
        "HOST": query.pop("host", "") or parts.hostname or "",
        "PORT": str(parts.port or query.pop("port", "")),
        "CONN_MAX_AGE": 0 if _pooled() else 600,
        "CONN_HEALTH_CHECKS": not _pooled(),
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "OPTIONS": {**NETWORK, **query, **_options()},
    }


def _pooled() -> bool:
    """Threads of a web process share connections. A process that forks can't: a pool doesn't survive it."""
    return os.environ.get("OPENINTERN_DATABASE_POOL") == "on"


def _options() -> dict[str, Any]:
    options: dict[str, Any] = {"application_name": os.environ.get("OPENINTERN_PROCESS", "openintern")}
    if _pooled():
        # max_lifetime bounds what a connection remembers of the schemas it has visited; of those that a burst left idle,
        # one goes each max_idle
        options["pool"] = {"min_size": 1, "max_size": POOL_SIZE, "timeout": 10, "max_lifetime": 600, "max_idle": 1}
    return options


def own_connection_parameters() -> dict[str, Any]:
    """Return how to open a psycopg connection beside Django's: one that listens, and outlives requests."""
    parameters: dict[str, Any] = dict(connection.get_connection_params())
    for name in ("cursor_factory", "context", "pool"):
        parameters.pop(name, None)
    return parameters


class Line(Protocol):
    """What can be hung up on: a connection with a socket."""

    def fileno(self) -> int: ...


@contextmanager
def answered_within(seconds: float, line: Line) -> Iterator[None]:
    """Let the block's queries on a psycopg connection fail rather than wait longer than that for an answer.

    For threads that must not stand still whatever stands between us and the database: a proxy may acknowledge what
    it never passes on, and TCP's own time-outs see nothing wrong. The connection is of no use afterwards.
    """
    with closing(socket.socket(fileno=os.dup(line.fileno()))) as own:
        timer = threading.Timer(seconds, _hang_up, [own])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):  # it is down already
        line.shutdown(socket.SHUT_RDWR)
