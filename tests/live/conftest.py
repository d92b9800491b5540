"""A real server on a port of its own, and runs that the test writes event by event."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from django.db import connection, connections
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import LiveText, Run, Session
from tests.conftest import Cast, Person
from tests.live.sse import Tap

CONFIG = {"model": {"provider": "mock", "model": "mock"}}


class Script:
    """A run whose worker is the test."""

    def __init__(self, owner: Person) -> None:
        self.org = owner.org
        with org_scope(self.org):
            session, _ = Session.objects.get_or_create(user=owner.user, project=None, key="s_live")
            self.run = Run.objects.create(session=session, user=owner.user, input="a task", config=CONFIG)
        self.channel = f"{self.org.schema_name}:{self.run.pk}"
        self.url = f"/api/runs/{self.run.pk}/stream"

    def inside(self) -> AbstractContextManager[None]:
        return org_scope(self.org)

    def write(self, *drafts: Draft, **changes: Any) -> None:
        with org_scope(self.org):
            log.append(self.run, *drafts, **changes)

    def begin(self) -> None:
        self.write(
            Draft(EventType.RUN_STARTED, {"input": "a task"}),
            status=Run.Status.RUNNING,
            attempt=self.run.attempt + 1,
            started_at=timezone.now(),
        )

    def note(self, text: str) -> None:
        self.write(Draft(EventType.RUN_WARNING, {"code": "NOTE", "message": text}))

    def say(self, text: str) -> None:
        """Put `text` where the answer that is being written stands, as the engine does."""
        with org_scope(self.org):
            LiveText.objects.update_or_create(
                run=self.run, defaults={"attempt": self.run.attempt, "step": self.run.step, "text": text}
            )
            log.notify(log.CHANNEL, self.run.pk)

    def answer(self, text: str) -> None:
        with org_scope(self.org):
            LiveText.objects.filter(run=self.run).delete()
            log.append(self.run, Draft(EventType.LLM_CALLED, {"text": text}))

    def finish(self) -> None:
        self.write(
            Draft(EventType.RUN_COMPLETED, {"output": "done"}), status=Run.Status.COMPLETED, ended_at=timezone.now()
        )


@pytest.fixture
def script(committed: Cast) -> Script:
    """A run of Alice's that has started."""
    script = Script(committed.alice)
    script.begin()
    return script


@dataclass(frozen=True)
class Server:
    url: str
    loop: asyncio.AbstractEventLoop

    def call(self, function: Callable[[], Any]) -> Any:
        """Run `function` in the server's event loop and return what it returns."""

        async def ask() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(ask(), self.loop).result(10)


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    """The web process, in a thread of this one; it looks after clients that don't answer sooner than one in production."""
    from openintern.asgi import application

    # each request has a thread of its own here: a connection that outlived it would be nobody's until it is collected
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    with socket.socket() as listening, django_db_blocker.unblock():
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        config = uvicorn.Config(
            application,
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=1,
            ws_ping_interval=1,
            ws_ping_timeout=5,
        )
        web = uvicorn.Server(config)
        loop = config.get_loop_factory()()
        thread = threading.Thread(target=lambda: loop.run_until_complete(web.serve(sockets=[listening])), daemon=True)
        thread.start()
        yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", loop)
        web.should_exit = True
        thread.join(20)
        loop.close()
    monkeypatch.undo()


@pytest.fixture
def browse(server: Server, committed: Cast) -> Iterator[Callable[..., Tap]]:
    """Open a stream, Alice's unless said otherwise; closed when the test ends."""
    taps: list[Tap] = []

    def open_tap(url: str, *, by: Person = committed.alice, **headers: str) -> Tap:
        tap = Tap(url if url.startswith("http") else server.url + url, {**by.headers, **headers})
        taps.append(tap)
        return tap

    yield open_tap
    for tap in taps:
        tap.close()


@pytest.fixture
def api(server: Server, committed: Cast) -> Iterator[httpx.Client]:
    """A client of Alice's."""
    with httpx.Client(base_url=server.url, headers=committed.alice.headers, timeout=20) as client:
        yield client


@pytest.fixture
def sql(committed: Cast) -> Callable[..., list[tuple[Any, ...]]]:
    """Ask the database, in the public schema."""

    def ask(query: str, *args: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, args)
            return list(cursor.fetchall())

    return ask


class WebProcess:
    """The web process as it is in production: by itself, with its pool of connections."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Start it, again if need be: the port stays, so clients wait rather than be refused."""
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"]).geturl()
        fd = self._listening.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "openintern.asgi:application", "--fd", str(fd), "--log-level", "warning"],
            env={**os.environ, "DATABASE_URL": database},
            pass_fds=[fd],
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._listening.close()


@pytest.fixture
def web_process(committed: Cast) -> Iterator[WebProcess]:
    with closing(WebProcess()) as process:
        yield process
