"""A database that is 200 ms away in each direction: everything is right, and only later."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import connection

from tests.conftest import Cast, Person
from tests.faults.history import History
from tests.faults.processes import ROOT, WorkerCluster, wait_until
from tests.faults.tasks import start_three_steps
from tests.live.conftest import Script
from tests.live.sse import Tap
from tests.peers.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.faults
AWAY = 0.2  # seconds, each way


@pytest.fixture
def wire(committed: Cast) -> Iterator[TcpProxy]:
    """To the tests' PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    info = connection.connection.info
    target = str(Path(info.host) / f".s.PGSQL.{info.port}") if info.host.startswith("/") else (info.host, info.port)
    with tcp_proxy(target) as wire:
        yield wire


@pytest.fixture
def far_away(environ: dict[str, str], wire: TcpProxy) -> dict[str, str]:
    """What a process is told that reaches the database by that wire."""
    url = urlsplit(environ["DATABASE_URL"])
    host = f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{wire.port}"
    return {"DATABASE_URL": url._replace(netloc=host, query="sslmode=disable&gssencmode=disable").geturl()}


@pytest.fixture
def web(environ: dict[str, str], far_away: dict[str, str], tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening, (tmp_path / "log").open("wb") as log:
        fd = listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "openintern.asgi:application", "--fd", str(fd)],
            cwd=ROOT,
            env={**environ, **far_away, "OPENINTERN_DATABASE_POOL": "on"},
            pass_fds=[fd],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        process.terminate()
        process.wait(30)


def test_runs_end_as_they_should(
    start_cluster: Callable[..., WorkerCluster], far_away: dict[str, str], wire: TcpProxy, history: History
) -> None:
    start_cluster(workers=2, **far_away)
    wire.slow_down(AWAY)

    runs = [start_three_steps(history) for _ in range(4)]

    for run_id in runs:
        assert history.wait_end(run_id, within=180)["status"] == "completed"
        assert history.read(run_id)["attempt"] == 1
    history.judge()


def test_a_stream_lags_by_two_seconds_at_most(web: str, wire: TcpProxy, alice: Person) -> None:
    script = Script(alice)
    script.begin()
    wait_until(lambda: httpx.get(f"{web}/api/me", headers=alice.headers, timeout=60).status_code == 200, within=60)
    wire.slow_down(AWAY)
    tap = Tap(web + script.url, alice.headers).wait_for(lambda tap: tap.seqs == [1], seconds=30)

    lags = []
    for number in range(2, 8):
        script.note(str(number))
        begun = time.monotonic()
        tap.wait_for(lambda tap, number=number: tap.seqs[-1] == number, seconds=30)
        lags.append(time.monotonic() - begun)
    script.finish()
    tap.to_the_end(seconds=30)

    print(f"seconds behind the database: {[round(lag, 2) for lag in lags]}")
    assert min(lags) > AWAY  # the wire is slow indeed
    assert sorted(lags)[len(lags) // 2] <= 2
    assert tap.seqs == list(range(1, 9))
    tap.close()
