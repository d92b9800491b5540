"""The connection to a provider: watched, pinned to one address, and cut from outside when need be."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import httpx

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
MAX_BYTES = 64 * 1024 * 1024


class AddressRefused(Exception):
    """A request was about to leave for another address than the one the key belongs to."""


class AskedAgain(Exception):
    """The library was about to ask once more after a refusal; whether to is for the one who pays to say."""


class TooMuch(Exception):
    """The provider sent more than anybody can want."""


@dataclass(frozen=True)
class Refusal:
    """An answer with an error status, as the provider gave it."""

    status: int
    headers: httpx.Headers
    text: str


class Wire:
    """An HTTP client for one purchase.

    The library between us and the provider reports a stream that was cut as a finished one, follows redirects with
    the key in hand, and can't be interrupted. So this watches the bytes themselves: `refusal` and `broke` tell what
    went wrong, `done` and `finish_reason` what the provider itself said about the end.
    """

    def __init__(self, *, base_url: str) -> None:
        self.refusal: Refusal | None = None
        self.answered = False
        self.broke = False
        self.done = False
        self.finish_reason = ""
        self._origin = origin_of(base_url) if base_url else ""
        self._received = 0
        self._line = b""
        self._lock = threading.Lock()
        self._hung_up = False
        self._sockets: list[socket.socket] = []
        self.client = httpx.Client(
            event_hooks={"request": [self._leaving], "response": [self._arriving]},
            timeout=timeouts(),
            verify=_tls(),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
        )

    def hang_up(self) -> None:
        """Break the connection; a thread that is blocked on it gets an error at once. Safe from any thread."""
        with self._lock:
            self._hung_up = True
            for connection in self._sockets:
                _shut(connection)

    def close(self) -> None:
        """Free the connection; only from the thread that uses it."""
        self.client.close()

    def _leaving(self, request: httpx.Request) -> None:
        if self.refusal is not None:
            raise AskedAgain
        origin = origin_of(str(request.url))
        if self._origin and origin != self._origin:
            raise AddressRefused(origin)
        self._origin = origin
        request.extensions["trace"] = self._connected

    def _connected(self, event: str, details: dict[str, Any]) -> None:
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        connection = details["return_value"].get_extra_info("socket")
        if not isinstance(connection, socket.socket):
            return
        with self._lock:
            self._sockets.append(connection)
            if self._hung_up:
                _shut(connection)

    def _arriving(self, response: httpx.Response) -> None:
        response.stream = _Watched(cast("httpx.SyncByteStream", response.stream), self)
        if response.status_code >= 300:
            response.read()
            self.refusal = Refusal(response.status_code, response.headers, response.text)
        else:
            self.answered = True

    def saw(self, data: bytes) -> None:
        """Take note of bytes that arrived."""
        self._received += len(data)
        if self._received > MAX_BYTES:
            raise TooMuch
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        if line.startswith(b"data:") and line[5:].strip() == b"[DONE]":
            self.done = True
        elif b"finishReason" in line:
            self.finish_reason = _gemini_finish_reason(line) or self.finish_reason


class _Watched(httpx.SyncByteStream):
    """A response body that shows every byte to its wire in passing."""

    def __init__(self, body: httpx.SyncByteStream, wire: Wire) -> None:
        self._body = body
        self._wire = wire

    def __iter__(self) -> Iterator[bytes]:
        try:
            for data in self._body:
                self._wire.saw(data)
                yield data
        except (httpx.TransportError, TooMuch):
            self._wire.broke = True
            raise

    def close(self) -> None:
        self._body.close()


def timeouts() -> httpx.Timeout:
    """Limits of single socket operations; the deadlines of a whole call are kept by `runs.llm.ask`."""
    return httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)


def origin_of(url: str) -> str:
    """Scheme, host and port of `url`, with the default port filled in."""
    parsed = httpx.URL(url)
    port = parsed.port or {"http": 80, "https": 443}.get(parsed.scheme)
    return f"{parsed.scheme}://{parsed.host}:{port}"


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reading the certificate store takes long enough to do it once."""
    return httpx.create_ssl_context()


def _shut(connection: socket.socket) -> None:
    """Shut the socket below any TLS, which must not be touched from a second thread."""
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return  # closed already: that is what we wanted


def _gemini_finish_reason(line: bytes) -> str:
    """The finish reason in a line of Gemini's stream; litellm claims one for every line."""
    try:
        candidates = json.loads(line.removeprefix(b"data:"))["candidates"]
        return str(candidates[0].get("finishReason", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
