"""A real server on a port of its own, a cast of people, and runs that the test writes event by event."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from django.db import connection
from django.utils import timezone

from openintern.tenancy import keys, people
from openintern.tenancy.models import ApiKey, Organization, User
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import LiveText, Run, Session
from tests.live.sse import Tap


@dataclass(frozen=True)
class Person:
    """Somebody with a key of their own."""

    user: User
    org: Organization
    key: ApiKey
    headers: dict[str, str]


@dataclass(frozen=True)
class Cast:
    alice: Person
    bob: Person
    charlie: Person


@pytest.fixture(scope="session")
def database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, with real commits: what is streamed has to be seen by other connections."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def cast(database: None) -> Cast:
    """Alice owns an organisation, Bob is a member of it, Charlie owns another."""
    ours, theirs = people.create_organization("live-ours"), people.create_organization("live-theirs")
    return Cast(
        alice=admit("live-alice", ours, Role.OWNER),
        bob=admit("live-bob", ours, Role.MEMBER),
        charlie=admit("live-charlie", theirs, Role.OWNER),
    )


def admit(name: str, org: Organization, role: Role) -> Person:
    user, _ = people.create_person(name, org=org, role=role, password="correct horse battery")
    key, text = keys.create_api_key(org=org, user=user)
    return Person(user, org, key, {"Authorization": f"Bearer {text}"})


class Script:
    """A run whose worker is the test."""

    def __init__(self, owner: Person) -> None:
        self.org = owner.org
        with org_scope(self.org):
            session, _ = Session.objects.get_or_create(user=owner.user, project=None, key="s_live")
            self.run = Run.objects.create(session=session, user=owner.user, input="a task")
        self.channel = f"{self.org.schema_name}:{self.run.pk}"
        self.url = f"/api/runs/{self.run.pk}/stream"

    def write(self, *drafts: Draft, **changes: Any) -> None:
        with org_scope(self.org):
            log.append(self.run, *drafts, **changes)

    def begin(self) -> None:
        self.write(Draft(EventType.RUN_STARTED, {"input": "a task"}), status=Run.Status.RUNNING, attempt=self.run.attempt + 1, started_at=timezone.now())

    def note(self, text: str) -> None:
        self.write(Draft(EventType.RUN_WARNING, {"code": "NOTE", "message": text}))

    def say(self, text: str) -> None:
        """Put `text` where the answer that is being written stands, as the engine does."""
        with org_scope(self.org):
            LiveText.objects.update_or_create(run=self.run, defaults={"attempt": self.run.attempt, "step": self.run.step, "text": text})
            log.notify(log.CHANNEL, self.run.pk)

    def answer(self, text: str) -> None:
        with org_scope(self.org):
            LiveText.objects.filter(run=self.run).delete()
            log.append(self.run, Draft(EventType.LLM_CALLED, {"text": text}))

    def finish(self) -> None:
        self.write(Draft(EventType.RUN_COMPLETED, {"output": "done"}), status=Run.Status.COMPLETED, ended_at=timezone.now())


@pytest.fixture
def script(cast: Cast) -> Script:
    """A run of Alice's that has started."""
    script = Script(cast.alice)
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


@pytest.fixture(scope="session")
def server(database: None) -> Iterator[Server]:
    """The web process, in a thread of this one."""
    from openintern.asgi import application  # noqa: PLC0415  needs the settings

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        port = listening.getsockname()[1]
        config = uvicorn.Config(application, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        running = uvicorn.Server(config)
        loop = config.get_loop_factory()() if hasattr(config, "get_loop_factory") else asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: loop.run_until_complete(running.serve(sockets=[listening])), daemon=True)
        thread.start()
        yield Server(f"http://127.0.0.1:{port}", loop)
        running.should_exit = True
        thread.join(20)
        loop.close()


@pytest.fixture
def browse(server: Server, cast: Cast) -> Iterator[Callable[..., Tap]]:
    """Open a stream, Alice's unless said otherwise; closed when the test ends."""
    taps: list[Tap] = []

    def open_tap(url: str, *, by: Person = cast.alice, **headers: str) -> Tap:
        tap = Tap(server.url + url, {**by.headers, **headers})
        taps.append(tap)
        return tap

    yield open_tap
    for tap in taps:
        tap.close()


@pytest.fixture
def api(server: Server, cast: Cast) -> Iterator[httpx.Client]:
    """A client of Alice's."""
    with httpx.Client(base_url=server.url, headers=cast.alice.headers, timeout=20) as client:
        yield client


@pytest.fixture
def sql(database: None) -> Callable[..., list[tuple[Any, ...]]]:
    """Ask the database, in the public schema."""

    def ask(query: str, *args: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, args)
            return list(cursor.fetchall())

    return ask
