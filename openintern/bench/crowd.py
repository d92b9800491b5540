"""Many clients of live streams in one event loop, that only look for what was written for them."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

#: What a figure looks for in a stream: the event's number, and when (`time.perf_counter`) it was begun to be written.
_MARK = re.compile(rb"bench#(\d+)@(\d+\.\d+)#")


def mark(number: int) -> str:
    """Return the text to put into event `number`, now."""
    return f"bench#{number}@{time.perf_counter():.6f}#"


@dataclass
class Client(asyncio.Protocol):
    """One stream: which marks came, and after how many seconds."""

    request: bytes
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    status: bytes = b""
    came: list[tuple[int, float]] = field(default_factory=list)
    is_over: bool = False
    _rest: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        at = time.perf_counter()
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        self.status = self.status or whole[:12]
        if b"event: connected" in whole:
            self.connected.set()
        self.came += [(int(number), at - float(began)) for number, began in _MARK.findall(whole)]

    def connection_lost(self, error: Exception | None) -> None:
        self.is_over = True
        self.connected.set()


class Crowd:
    """Clients that hold their streams open for the block."""

    def __init__(self, *, port: int, paths: Sequence[str], authorization: str = "") -> None:
        self._port = port
        header = f"Authorization: {authorization}\r\n" if authorization else ""
        self.clients = [
            Client(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}Accept: text/event-stream\r\n\r\n".encode())
            for path in paths
        ]

    async def __aenter__(self) -> Self:
        low, high = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(low, min(high, len(self.clients) * 2 + 500)), high))
        loop = asyncio.get_running_loop()
        for first in range(0, len(self.clients), 50):
            some = self.clients[first : first + 50]
            for client in some:
                await loop.create_connection(lambda client=client: client, "127.0.0.1", self._port)  # type: ignore[misc]
            async with asyncio.timeout(120):
                await asyncio.gather(*(client.connected.wait() for client in some))
        refused = [client.status for client in self.clients if client.is_over]
        if refused:
            raise ConnectionRefusedError(f"{len(refused)} streams were refused, the first with {refused[0]!r}")
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            client.transport.close()
        await asyncio.sleep(0.5)

    async def wait_for(self, expected: int, *, within: float) -> None:
        """Wait until so many marks have come in all, or the time is over."""
        ends_at = time.monotonic() + within
        while sum(len(client.came) for client in self.clients) < expected and time.monotonic() < ends_at:
            await asyncio.sleep(0.05)

    def seconds(self) -> list[float]:
        """How long each mark took to each client."""
        return [seconds for client in self.clients for _, seconds in client.came]

    def lost(self, expected: int) -> int:
        """How many marks are missing, or came more than once."""
        came = sum(len(client.came) for client in self.clients)
        different = sum(len({number for number, _ in client.came}) for client in self.clients)
        return expected - different + came - different
