"""Is everything that was started at work?"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable

_LOOK_EVERY = 0.15


class NotReady(Exception):
    """It did not become ready in time; the message says what is missing."""


def reachable_host(host: str) -> str:
    """Return an address to reach a server at that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def require_free(host: str, port: int) -> None:
    """Raise NotReady when something else has the port."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise NotReady(
                f"Can't listen on {host}, port {port}: {error.strerror}. Choose another with --port."
            ) from None


def wait_until_ready(
    host: str, port: int, *, known_as: str, meanwhile: Callable[[], None], within: float = 120.0
) -> None:
    """Return when `/health` says 200; call `meanwhile` between two looks. Raises NotReady."""
    deadline = time.monotonic() + within
    missing = "the web server"
    while time.monotonic() < deadline:
        status, answer = _ask(reachable_host(host), port, known_as=known_as)
        if status == http.HTTPStatus.OK:
            return
        missing = _missing(answer) or missing
        meanwhile()
        time.sleep(_LOOK_EVERY)
    raise NotReady(f"Not ready after {within:g} s; missing: {missing}. `doctor` tells more.")


def _ask(host: str, port: int, *, known_as: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/health", headers={"Host": known_as})
        answer = connection.getresponse()
        return answer.status, answer.read(65_536).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def _missing(answer: str) -> str:
    try:
        return ", ".join(json.loads(answer)["missing"])
    except (ValueError, KeyError, TypeError):
        return ""
