"""A wire to a server that can be cut, be slow, or go silent: what is sent is acknowledged and goes nowhere."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_CHUNK: Final = 65536


class TcpProxy:
    """Forwards every connection to `target` (host and port, or a socket's path), until told otherwise."""

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._delay = 0.0
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        with self._lock:
            return len(self._lines) // 2

    def go_silent(self) -> None:
        """Pass nothing on any more, in no direction; connections stay open, and new ones are accepted."""
        self._flows.clear()

    def speak_again(self) -> None:
        """Pass on what was kept, and everything after it."""
        self._flows.set()

    def slow_down(self, seconds: float) -> None:
        """Pass everything on that much later, in each direction."""
        self._delay = seconds

    def cut(self) -> None:
        """End every connection; new ones are forwarded."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            _hang_up(line)

    def close(self) -> None:
        """End everything."""
        _hang_up(self._listening)
        self._listening.close()
        self.cut()
        self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=[client], daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = _dial(self._target)
        except OSError:
            client.close()
            return
        with self._lock:
            self._lines |= {client, server}
        back = threading.Thread(target=self._forward, args=[server, client], daemon=True)
        back.start()
        self._forward(client, server)
        back.join()
        with self._lock:
            self._lines -= {client, server}
        client.close()
        server.close()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK):
                self._flows.wait()
                time.sleep(self._delay)
                sink.sendall(chunk)
        _hang_up(source)
        _hang_up(sink)


def _dial(target: tuple[str, int] | str) -> socket.socket:
    if not isinstance(target, str):
        return socket.create_connection(target)
    server = socket.socket(socket.AF_UNIX)
    server.connect(target)
    return server


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):  # it may be down already
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def tcp_proxy(target: tuple[str, int] | str) -> Iterator[TcpProxy]:
    """Run a proxy before `target` for as long as the block lasts."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
