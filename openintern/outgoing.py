"""The one client for requests to addresses that people, agents or documents name.

An address is judged twice: as text before anything is sent, and as numbers at the moment of connecting, so that neither
a name that points inside, nor a redirect, nor a name server that changes its mind leads into our own network. What the
operator lists in `OUTGOING_ALLOW` (`host:port`) is let through. Size, time and redirects are bounded.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx
from django.conf import settings

from openintern.errors import Invalid

USER_AGENT: Final = "OpenIntern"
MAX_BYTES: Final = 5 * 1024 * 1024
MAX_REDIRECTS: Final = 5
LONGEST_URL: Final = 4000
CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 30.0
_PORTS: Final = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unreachable(Exception):
    """The request was refused by us, or nobody answered. The message is fit for whoever named the address."""


@dataclass(frozen=True)
class Fetched:
    """What came back: `url` is where the redirects led, `content` at most MAX_BYTES, `is_cut` if there was more."""

    url: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    is_cut: bool

    @property
    def content_type(self) -> str:
        """The type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def fetch(url: str, *, max_bytes: int = MAX_BYTES) -> Fetched:
    """GET a page, following redirects, each of which is judged anew. Raises Unreachable."""
    with client(within=TOTAL_SECONDS) as session:
        for _ in range(MAX_REDIRECTS + 1):
            fetched = _one(session, check_url(url), max_bytes=max_bytes)
            if fetched.status not in {301, 302, 303, 307, 308} or "location" not in fetched.headers:
                return fetched
            url = urljoin(fetched.url, fetched.headers["location"])
    raise Unreachable(f"More than {MAX_REDIRECTS} redirects")


def client(*, within: float | None = None, **options: Any) -> httpx.Client:
    """Return a client that connects to public addresses only. It follows no redirects by itself.

    `within` seconds from now all its connections are over, however slowly the other side speaks.
    """
    timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
    # packed answers aren't asked for: a few bytes of them can stand for gigabytes
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **options.pop("headers", {})}
    return httpx.Client(
        transport=GuardedTransport(within=within),
        timeout=timeout,
        headers=headers,
        trust_env=False,
        follow_redirects=False,
        **options,
    )


def check_url(url: str) -> str:
    """Return the address if it may be asked for at all. Raises Unreachable; the numbers are judged when connecting."""
    if len(url) > LONGEST_URL or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise Unreachable("Not an address: it is too long, or has blanks or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Unreachable("Not an address") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise Unreachable("Only http:// and https:// addresses can be reached")
    if parts.username is not None or parts.password is not None or "\\" in url:
        raise Unreachable("An address must not hold a user name or a password")
    literal = _literal(parts.hostname)
    if literal is not None and not _may_connect(parts.hostname, port or _PORTS[parts.scheme], literal):
        raise Unreachable(f"{parts.hostname} is not a public address")
    return url


class GuardedTransport(httpx.HTTPTransport):
    """httpx's transport over a pool that judges addresses when it connects. No proxy of the environment is used."""

    def __init__(self, *, within: float | None = None) -> None:
        super().__init__(trust_env=False)
        ends_at = None if within is None else time.monotonic() + within
        ssl_context = httpx.create_ssl_context(trust_env=False)
        self._pool = httpcore.ConnectionPool(ssl_context=ssl_context, network_backend=_GuardedBackend(ends_at))


class _GuardedBackend(httpcore.SyncBackend):
    """Resolves a name once, judges every address it stands for, and connects to just those."""

    def __init__(self, ends_at: float | None) -> None:
        self._ends_at = ends_at

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers. Raises ConnectError where one of them is inside."""
        try:
            addresses = judged(host, port)
        except Unreachable as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                stream = super().connect_tcp(str(address), port, timeout, local_address, socket_options)
                return stream if self._ends_at is None else _EndingStream(stream, self._ends_at)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
        """A path is never an address."""
        raise httpcore.ConnectError("Not an address")


class _EndingStream(httpcore.NetworkStream):
    """A connection that is over at a moment. A time-out for each read would let a drip go on for ever."""

    def __init__(self, stream: httpcore.NetworkStream, ends_at: float) -> None:
        self._stream = stream
        self._ends_at = ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._left(timeout, httpcore.ConnectTimeout)
        return _EndingStream(self._stream.start_tls(ssl_context, server_hostname, left), self._ends_at)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None, over: type[httpcore.TimeoutException]) -> float:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise over("the time is over")
        return left if timeout is None else min(left, timeout)


def is_public(address: Address) -> bool:
    """Whether an address is in the public network; those that carry an IPv4 address are judged by it too."""
    carried = _carried(address)
    return address.is_global and not address.is_multicast and (carried is None or is_public(carried))


def judged(host: str, port: int) -> list[Address]:
    """Return the addresses that a name stands for at this moment. Raises Unreachable where there is none, or one is inside."""
    addresses = _resolve(host, port)
    if inside := [address for address in addresses if not _may_connect(host, port, address)]:
        raise Unreachable(f"{host} stands for {inside[0]}, which is not a public address")
    return addresses


def require_public(field: str, url: str) -> None:
    """Judge an address when it is saved, also by what its name stands for now; it is judged again at each connection.

    Raises VALIDATION_ERROR for `field`.
    """
    try:
        parts = urlsplit(check_url(url))
        judged(parts.hostname or "", parts.port or _PORTS[parts.scheme])
    except Unreachable as error:
        raise Invalid(field, str(error)) from error


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in ipaddress.ip_network("64:ff9b::/96"):  # NAT64
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _may_connect(host: str, port: int, address: Address) -> bool:
    allowed = settings.CONFIG.server.outgoing_allow
    return is_public(address) or f"{host}:{port}" in allowed or f"{address}:{port}" in allowed


def _literal(host: str) -> Address | None:
    """The address that a host is, in any of the forms that resolvers take; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # 127.1, 0x7f.1, 2130706433, 0177.0.0.1
    except (OSError, UnicodeError):
        return None


def _resolve(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} has no address") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _one(session: httpx.Client, url: str, *, max_bytes: int) -> Fetched:
    try:
        with session.stream("GET", url) as response:
            content, is_cut = _read(response, max_bytes=max_bytes)
            return Fetched(str(response.url), response.status_code, response.headers, content, is_cut)
    except httpx.TimeoutException as error:
        raise Unreachable(f"{urlsplit(url).hostname} did not answer in time") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise Unreachable(f"{urlsplit(url).hostname} can't be reached: {error}") from error


def _read(response: httpx.Response, *, max_bytes: int) -> tuple[bytes, bool]:
    """Read what comes until there is enough of it."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Unreachable("The answer is packed, which was not asked for")
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) > max_bytes:
            return bytes(content[:max_bytes]), True
    return bytes(content), False
