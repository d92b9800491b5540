"""A web process on loopback, somebody who works, and clients of the protocol."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import pytest
from django.db import connection, connections
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from runs.llm import scripted
from runs.queue.worker import work_once
from tests.conftest import Cast, Person
from tests.live import conftest as of_live
from tests.peers.site import allow, serve  # noqa: F401  fixtures
from tests.runs import conftest as of_runs

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]

server = of_live.server  # fixtures
add_tool = of_runs.add_tool


@pytest.fixture
def worker(committed: Cast) -> Iterator[None]:
    """Somebody who does all work that comes up, as long as the test lasts."""
    of_runs.clear_queue()
    over = threading.Event()

    def work() -> None:
        with of_runs.a_pulse() as pulse:
            while not over.is_set():
                if not work_once(pulse):
                    over.wait(0.02)
        connections.close_all()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    over.set()
    scripted.forget()
    thread.join(20)
    of_runs.clear_queue()


def environment() -> dict[str, str]:
    """What a process needs to work on the tests' database."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"]).geturl()
    return {**os.environ, "DATABASE_URL": database}


def by_http(url: str, person: Person, **headers: str) -> AbstractAsyncContextManager[Any]:
    """The official client's way over HTTP, with the person's key."""
    http = httpx2.AsyncClient(headers={**person.headers, **headers}, timeout=40)
    return streamable_http_client(f"{url}/mcp", http_client=http)


def by_stdio(*arguments: str, **variables: str) -> AbstractAsyncContextManager[Any]:
    """The official client's way to a process of `manage.py mcp`."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["manage.py", "mcp", *arguments],
        env={**environment(), **variables},
        cwd=ROOT,
    )
    return stdio_client(parameters)


def speak(way: Any, talk: Callable[[Client], Awaitable[T]], *, mode: str = "auto") -> T:
    """Open a client, let it talk, and return what the talk returns."""

    async def run() -> T:
        async with Client(way, mode=mode, read_timeout_seconds=60) as client:
            return await talk(client)

    return asyncio.run(run())
