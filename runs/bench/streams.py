"""A thousand clients: on one run, and each on a run of its own. Events are written as the engine writes them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from django.db import connections
from django.utils import timezone

import openintern.bench
from openintern.bench import Figure, Options, suite
from openintern.bench.bare_asgi import CHANNEL
from openintern.bench.crowd import Crowd, mark
from openintern.bench.gauges import Gauge, percentile, wait_until
from openintern.bench.web import HOST, answers, free_port, kept, web
from openintern.ids import random_text
from openintern.startup import parts
from openintern.supervision import Service, end
from openintern.tenancy import keys
from openintern.tenancy.scope import Scope, org_scope, public_scope
from runs import log
from runs.bench import floors
from runs.events import Draft, EventType
from runs.models import Run, Session

CLIENTS, EVENTS = 1000, 30
PAUSE = 0.2  # seconds between two events
SETTLES_WITHIN = 25.0  # seconds until the connections that so many newcomers took are given back
PROCESSES = ("openintern-web", "openintern-live")

Write = Callable[[int], None]


@suite("streams")
def measure(options: Options) -> Iterator[Figure]:
    """Yield how long an event takes to all clients, over the bare floor, and what they hold meanwhile."""
    clients, events = (100, 10) if options.quick else (CLIENTS, EVENTS)
    _, key = _key(options.scope)
    shared, *runs = _running(options.scope, count=clients + 1)
    floor = _floor(clients=clients, events=events)
    with web() as (port, _):
        one = _watched(port, key, [shared] * clients, _writer(options.scope, [shared]), events=events, each=clients)
    with web() as (port, _):
        own = _watched(port, key, runs, _writer(options.scope, runs), events=events, each=1)
    yield Figure(
        name=f"{clients} SSE clients on one run, p99", value=percentile(one.seconds, 99) * 1000, unit="ms",
        floor=percentile(floor, 99) * 1000, floor_name="ms: bare ASGI", bar=2, aim=1.5,
    )  # fmt: skip
    yield Figure(
        name=f"{clients} SSE clients on runs of their own, p99", value=percentile(own.seconds, 99) * 1000, unit="ms",
        bar=50, aim=20,
    )  # fmt: skip
    yield Figure(
        name="database connections held for them", value=max(one.sessions, own.sessions), unit="", bar=5, aim=1,
        enforced=True,
    )  # fmt: skip
    yield Figure(name="events lost or told twice", value=one.lost + own.lost, unit="", bar=0, aim=0, enforced=True)


class Watched:
    """What came of a crowd."""

    def __init__(self, crowd: Crowd, *, expected: int, sessions: int) -> None:
        self.seconds = crowd.seconds()
        self.lost = crowd.lost(expected)
        self.sessions = sessions


def _watched(port: int, key: str, runs: Sequence[Run], write: Write, *, events: int, each: int) -> Watched:
    """Let clients follow these runs while events are written, each of which `each` clients get."""
    paths = [f"/api/runs/{run.pk}/stream" for run in runs]
    crowd = Crowd(port=port, paths=paths, authorization=f"Bearer {key}")
    with Gauge() as gauge:
        sessions = asyncio.run(_tell(crowd, write, events=events, each=each, count=lambda: gauge.sessions(*PROCESSES)))
    return Watched(crowd, expected=events * each, sessions=sessions)


def _floor(*, clients: int, events: int) -> list[float]:
    with _bare_asgi() as port, floors.connect() as own:
        crowd = Crowd(port=port, paths=["/run"] * clients)

        def write(number: int) -> None:
            own.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"run {mark(number)}{'x' * 200}"))

        asyncio.run(_tell(crowd, write, events=events, each=clients, count=int))
        return crowd.seconds()


async def _tell(crowd: Crowd, write: Write, *, events: int, each: int, count: Callable[[], int]) -> int:
    """Write the events while the crowd is there; return the most connections that `count` found."""
    most = 0
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        async with crowd:
            await asyncio.sleep(SETTLES_WITHIN)
            for number in range(events):
                await loop.run_in_executor(thread, write, number)
                await asyncio.sleep(PAUSE)
                most = max(most, count())
            await crowd.wait_for(events * each, within=30)
        await loop.run_in_executor(thread, connections.close_all)
    return most


def _writer(scope: Scope, runs: Sequence[Run]) -> Write:
    """Return what writes event `number` into one run after another."""

    def write(number: int) -> None:
        with org_scope(scope.org):
            payload = {"code": "BENCH", "message": mark(number) + "x" * 200}
            log.append(runs[number % len(runs)], Draft(EventType.RUN_WARNING, payload))

    return write


def _running(scope: Scope, *, count: int) -> list[Run]:
    """Runs that are under way, in one session. Nobody works on them."""
    with org_scope(scope.org):
        session = Session.objects.create(
            user=scope.user, key=f"s_{random_text(12)}", title="bench", active_at=timezone.now()
        )
        runs = Run.objects.bulk_create(
            Run(
                session=session,
                user=scope.user,
                input="Watched",
                status=Run.Status.RUNNING,
                attempt=1,
                config={"model": {"provider": "mock", "model": "mock"}},
            )
            for _ in range(count)
        )
        for run in runs:
            log.append(run, Draft(EventType.RUN_STARTED, {"input": run.input}))
        return runs


def _key(scope: Scope) -> tuple[object, str]:
    with public_scope():
        return keys.create_api_key(org=scope.org, user=scope.user)


@contextmanager
def _bare_asgi() -> Iterator[int]:
    port = free_port()
    place = Path(openintern.bench.__file__).parent
    quiet = ["--no-access-log", "--log-level", "warning"]
    command = [
        *(sys.executable, "-m", "uvicorn", "--app-dir", str(place), "bare_asgi:application"),
        *("--host", HOST, "--port", str(port), *quiet),
    ]
    service = Service("The bare server", start=partial(parts.start, command), stop=partial(end, within=5))
    with kept(service):
        wait_until(lambda: answers(port), within=60, what="the bare server")
        yield port
