"""A database that goes silent: no connection waits for ever, and nobody works on without a lease."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection

from openintern.database import NETWORK, answered_within, database_settings, own_connection_parameters
from openintern.live import bell
from openintern.live.bell import Bell
from openintern.tenancy.scope import public_scope
from runs.models import Run
from runs.queue import claims, pulse
from runs.queue.models import Ticket, Turn
from runs.queue.pulse import Held, Pulse
from runs.stop import Stop
from tests.conftest import Cast
from tests.peers.tcp_proxy import TcpProxy, tcp_proxy


@pytest.fixture
def proxy(committed: Cast) -> Iterator[TcpProxy]:
    """A wire to the tests' PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    info = connection.connection.info
    target = str(Path(info.host) / f".s.PGSQL.{info.port}") if info.host.startswith("/") else (info.host, info.port)
    with tcp_proxy(target) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: TcpProxy) -> dict[str, Any]:
    """How to connect by that wire."""
    parameters = {**own_connection_parameters(), "host": "127.0.0.1", "port": proxy.port, "connect_timeout": 2}
    return parameters | {"sslmode": "disable", "gssencmode": "disable"}


def test_the_kernel_watches_every_connection(through: dict[str, Any]) -> None:
    with psycopg.connect(**through) as own, socket.socket(fileno=own.fileno()) as line:
        found = {
            "keepalives": line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "keepalives_idle": line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            "keepalives_interval": line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            "keepalives_count": line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            "tcp_user_timeout": line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        }
        line.detach()

    assert found == {name: NETWORK[name] for name in found}


def test_an_operator_names_other_time_outs_in_the_address(settings: Any) -> None:
    from dataclasses import replace

    url = "postgresql://db.example/x?tcp_user_timeout=60000"
    chosen = replace(settings.CONFIG, server=replace(settings.CONFIG.server, database_url=url))

    options = database_settings(chosen)["OPTIONS"]

    assert options["tcp_user_timeout"] == "60000"
    assert options["keepalives_idle"] == NETWORK["keepalives_idle"]


def test_a_query_that_nobody_answers_fails_in_time(proxy: TcpProxy, through: dict[str, Any]) -> None:
    with psycopg.connect(**through, autocommit=True) as own:
        proxy.go_silent()
        began = time.monotonic()

        with pytest.raises(psycopg.OperationalError), answered_within(0.3, own):
            own.execute("SELECT 1")

    assert time.monotonic() - began < 2


def test_a_query_that_is_answered_keeps_its_connection(through: dict[str, Any]) -> None:
    with psycopg.connect(**through, autocommit=True) as own:
        for _ in range(3):
            with answered_within(5, own):
                own.execute("SELECT 1")

        assert own.execute("SELECT 2").fetchone() == (2,)


@pytest.fixture
def quick_pulse(through: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Pulse:
    """A pulse by that wire, with shorter times and the same rules."""
    for name, seconds in (("BEAT_SECONDS", 0.2), ("_ANSWER_SECONDS", 0.3), ("LEASE_SECONDS", 1)):
        monkeypatch.setattr(pulse, name, seconds)
    beating = Pulse(owner="silent")
    beating._parameters = through
    return beating


def test_a_pulse_without_an_answer_gives_the_run_up_and_beats_again_afterwards(
    committed: Cast, start_run: Callable[..., Run], proxy: TcpProxy, quick_pulse: Pulse
) -> None:
    first = _hold(quick_pulse, committed, start_run)
    _until(lambda: proxy.connections == 1)
    beaten_at = first.renewed_at
    _until(lambda: first.renewed_at > beaten_at)

    proxy.go_silent()
    _until(lambda: first.stop.reason == "lost")
    quick_pulse.let_go()
    proxy.speak_again()

    second = _hold(quick_pulse, committed, start_run)
    beaten_at = second.renewed_at
    _until(lambda: second.renewed_at > beaten_at)
    assert second.stop.reason is None
    quick_pulse.let_go()


def test_the_live_streams_listen_again_after_a_silence(
    proxy: TcpProxy, through: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "_HEARTBEAT", 0.3)
    monkeypatch.setattr(bell, "own_connection_parameters", lambda: through)

    asyncio.run(_listen_through_a_silence(proxy))


async def _listen_through_a_silence(proxy: TcpProxy) -> None:
    listening, rings = Bell("tests_silence"), asyncio.Event()
    listening.wait_for("topic", rings.set)
    async with asyncio.timeout(15):
        await rings.wait()  # rung once when it begins to listen
        proxy.go_silent()
        while listening.is_listening:
            await asyncio.sleep(0.05)
        proxy.speak_again()
        rings.clear()
        await rings.wait()
    listening.forget("topic", rings.set)


def _hold(beating: Pulse, committed: Cast, start_run: Callable[..., Run]) -> Held:
    """Let the pulse hold a run that is claimed."""
    with public_scope():
        Ticket.objects.all().delete()
        Turn.objects.all().delete()
    start_run(committed.alice)
    with public_scope():
        claim = claims.claim(beating.owner)
    assert claim is not None
    held = Held(claim, committed.alice.org.schema_name, Stop(), deadline=time.monotonic() + 60, renewed_at=0.0)
    held.renewed_at = time.monotonic()
    beating.hold(held)
    return held


def _until(claim: Callable[[], bool], *, within: float = 15) -> None:
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
