"""How soon a run begins, how many a worker gets through, what an idle system asks, and what follows a worker's death."""

from __future__ import annotations

import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Self

import psycopg
from django.db import connection
from django.db.models import F, Max, Min
from django.utils import timezone

from openintern.bench import Figure, Options, suite
from openintern.bench.gauges import Gauge, percentile, proportional_mb, wait_until
from openintern.bench.web import kept, web
from openintern.database import own_connection_parameters
from openintern.ids import random_text
from openintern.startup import parts
from openintern.tenancy import people
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import Scope, org_scope, public_scope
from runs import lifecycle
from runs.bench import floors
from runs.bench.cluster import workers, workers_of
from runs.events import EventType
from runs.log import CHANNEL
from runs.models import Event, Run
from runs.queue.models import Ticket

PAUSE = 0.04  # seconds between the end of a run and the next one, for an idle worker
SETTLES_WITHIN = 12.0  # seconds until sessions that fell idle have reported their commits


@suite("queue")
def measure(options: Options) -> Iterator[Figure]:
    """Yield what an idle system asks; unless in a hurry, all the rest."""
    yield from _idle(seconds=12 if options.quick else 30)
    if options.quick:
        return
    scope = options.scope
    yield from _starts(scope, count=150)
    yield _throughput(scope, count=400)
    yield from _fairness(scope)
    yield from _recovery(scope, count=8)


def _idle(*, seconds: float) -> Iterator[Figure]:
    """The whole system as `up` starts it, with nothing to do."""
    with web() as (_, _), workers(2) as main, kept(parts.embedder()), Gauge() as gauge:
        _idle_for(SETTLES_WITHIN)
        before = gauge.read()
        _idle_for(seconds)
        commits = (gauge.read() - before).commits
        memory = statistics.mean(proportional_mb(pid) for pid in workers_of(main))
    yield Figure(
        name="an idle system", value=commits / seconds, unit="queries a second", bar=5, aim=2, enforced=True,
        note="web, 2 workers, embedder",
    )  # fmt: skip
    yield Figure(
        name="memory of an idle worker", value=memory, unit="MB", bar=60, aim=40,
        note="proportional set; of 2",
    )  # fmt: skip


def _starts(scope: Scope, *, count: int) -> Iterator[Figure]:
    """From before the call that accepts a run to its first event, as somebody who listens hears of it."""
    with floors.connect() as own:
        floor = floors.enqueue_to_start(own, count=count, pause=_pause)
    with workers(1), Listener() as listener:
        taken = _waits(scope, listener, count=count)
    for percent, bar, aim in ((50, 20, 8), (95, 50, 15)):
        at = percentile(floor, percent) * 1000
        yield Figure(
            name=f"enqueue to first event, idle worker, p{percent}", value=percentile(taken, percent) * 1000, unit="ms",
            bar=bar, aim=aim, note=f"LISTEN and SKIP LOCKED: {at:.3g} ms",
        )  # fmt: skip


def _throughput(scope: Scope, *, count: int) -> Figure:
    """No-op runs, each in a session of its own, that wait for the one worker."""
    with floors.connect() as own:
        floor = floors.jobs_a_second(own, count=count)
    runs = [_start(scope) for _ in range(count)]
    with workers(1):
        _wait_for_end(scope.org, within=900)
    with floors.connect() as own:
        floor = (floor + floors.jobs_a_second(own, count=count)) / 2
    with org_scope(scope.org):
        span = Run.objects.filter(pk__in=runs).aggregate(first=Min("started_at"), last=Max("ended_at"))
    return Figure(
        name="no-op runs a second, one worker", value=count / (span["last"] - span["first"]).total_seconds(), unit="",
        floor=floor, floor_name="jobs: SKIP LOCKED", bar=0.15, aim=0.35, more_is_better=True,
        note="accepted, begun, one model call, ended",
    )  # fmt: skip


def _fairness(scope: Scope) -> Iterator[Figure]:
    """A small organisation's runs while another has 1,000 in 200 sessions before the same worker."""
    small = _other_organization(scope)
    sessions = [f"s_crowd_{number}" for number in range(200)]
    with Listener() as listener:
        with workers(1):
            alone = _waits(small, listener, count=60)
        for number in range(1000):
            _start(scope, session_key=sessions[number % 200])
        with workers(1):
            beside = _waits(small, listener, count=60)
            left = _waiting(scope.org)
            _wait_for_end(scope.org, within=900)
    one_run = _median_seconds(scope.org)
    p95 = percentile(alone, 95)
    allowed = 5 * p95 + one_run
    yield Figure(
        name="p95 start of a small organisation beside 1,000 queued runs of another", value=percentile(beside, 95) * 1000,
        unit="ms", bar=allowed * 1000, aim=(2 * p95 + one_run) * 1000,
        note=f"alone {p95 * 1000:.3g} ms; one run takes {one_run * 1000:.3g} ms; {left} still waited at the end",
    )  # fmt: skip


def _recovery(scope: Scope, *, count: int) -> Iterator[Figure]:
    """Workers killed in the middle of a model call, and their whole cluster: until the run goes on."""
    taken = []
    with workers(count) as main:
        runs = _hold(scope, count=count)
        for pid in workers_of(main):
            os.kill(pid, signal.SIGKILL)
        taken = _until_resumed(scope, runs, killed_at=time.time())
        _cancel(scope, runs)
    yield Figure(
        name="recovery after kill -9 of a worker, p95", value=percentile(taken, 95), unit="s", bar=15, aim=8,
        note=f"{count} workers of one cluster at once",
    )  # fmt: skip
    with workers(2) as main:
        runs = _hold(scope, count=2)
        with workers(2):
            os.killpg(main, signal.SIGKILL)
            taken = _until_resumed(scope, runs, killed_at=time.time())
            _cancel(scope, runs)
    yield Figure(
        name="recovery after kill -9 of a whole cluster", value=max(taken), unit="s", bar=15, aim=8,
        note="by another one",
    )  # fmt: skip


class Listener:
    """Hears of every run's first news, and when."""

    def __enter__(self) -> Self:
        self.heard: dict[str, float] = {}
        self._own = psycopg.connect(**own_connection_parameters(), autocommit=True)
        self._own.execute(f"LISTEN {CHANNEL}")
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._own.close()

    def _listen(self) -> None:
        while not self._is_over.is_set():
            for note in self._own.notifies(timeout=0.5, stop_after=1):
                self.heard.setdefault(note.payload.partition(":")[2], time.perf_counter())


def _waits(scope: Scope, listener: Listener, *, count: int) -> list[float]:
    """Start runs, each after the end of the one before; return the seconds until each one's first event was heard of."""
    _start(scope)  # the first one finds a worker that has connected to nothing yet
    _idle_for(1.0)
    began = {}
    for _ in range(count):
        at = time.perf_counter()
        began[_start(scope)] = at
        _wait_for_end(scope.org, within=60)
        _pause()
    return [listener.heard[run] - at for run, at in began.items()]


def _start(scope: Scope, *, session_key: str = "", model: str = "") -> str:
    choice = {"provider": "scripted", "model": model} if model else {"provider": "mock"}
    with org_scope(scope.org):
        run = lifecycle.create_run(
            scope, text="Nothing to do", at=timezone.now(), llm_config=choice,
            session_key=session_key or f"s_{random_text(12)}",
        )  # fmt: skip
    return run.pk


def _hold(scope: Scope, *, count: int) -> list[str]:
    """Start runs whose model never answers, and wait until each has a worker."""
    script = json.dumps([{"text": "", "hold": "for ever"}])
    runs = [_start(scope, model=script) for _ in range(count)]
    wait_until(lambda: _have(scope, runs, EventType.STEP_STARTED) == count, within=60, what="workers for all runs")
    return runs


def _until_resumed(scope: Scope, runs: list[str], *, killed_at: float) -> list[float]:
    wait_until(lambda: _have(scope, runs, EventType.RUN_RESUMED) == len(runs), within=60, what="other workers")
    with org_scope(scope.org):
        resumed = Event.objects.filter(run__in=runs, type=EventType.RUN_RESUMED)
        return [at.timestamp() - killed_at for at in resumed.values_list("at", flat=True)]


def _have(scope: Scope, runs: list[str], event: EventType) -> int:
    with org_scope(scope.org):
        return Event.objects.filter(run__in=runs, type=event).values("run").distinct().count()


def _cancel(scope: Scope, runs: list[str]) -> None:
    with org_scope(scope.org):
        for run in runs:
            lifecycle.cancel_run(scope, run, at=timezone.now())


def _other_organization(scope: Scope) -> Scope:
    with public_scope():
        org = people.create_organization("bench-small")
        people.add_member(scope.user, org=org, role=scope.role)
    return Scope(org=org, user=scope.user, role=scope.role)


def _median_seconds(org: Organization) -> float:
    with org_scope(org):
        spans = Run.objects.filter(ended_at__isnull=False).values_list(F("ended_at") - F("started_at"))[:500]
        return float(statistics.median(span.total_seconds() for (span,) in spans))


def _waiting(org: Organization) -> int:
    with public_scope():
        return Ticket.objects.filter(organization=org).count()


def _wait_for_end(org: Organization, *, within: float) -> None:
    wait_until(lambda: _waiting(org) == 0, within=within, what="the end of all runs")


def _pause() -> None:
    _idle_for(PAUSE)


def _idle_for(seconds: float) -> None:
    """Do nothing for a while, holding no transaction."""
    connection.close_if_unusable_or_obsolete()
    time.sleep(seconds)
