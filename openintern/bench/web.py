"""The web process, started as `up` starts it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from openintern.bench.gauges import wait_until
from openintern.startup import parts
from openintern.supervision import Service

HOST = "127.0.0.1"


@contextmanager
def web() -> Iterator[tuple[int, int]]:
    """Keep a web process for the block; yields its port and its pid once it answers."""
    port = free_port()
    with kept(parts.web(host=HOST, port=port)) as pid:
        wait_until(lambda: answers(port), within=120, what="the web process")
        yield port, pid


@contextmanager
def kept(service: Service) -> Iterator[int]:
    """Keep a service for the block; yields its process."""
    service.begin()
    try:
        yield service.process.pid  # type: ignore[union-attr]
    finally:
        service.finish()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
