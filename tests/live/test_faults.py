"""What is lost on the way – notifications, connections, the database itself – is made up for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import connection

from openintern import live
from openintern.database import own_connection_parameters
from runs import log
from tests.live.conftest import Script, Server, WebProcess
from tests.live.sse import Tap

Browse = Callable[..., Tap]
Sql = Callable[..., list[tuple[object, ...]]]

LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'openintern-live'"
)


def test_one_connection_listens_while_somebody_watches_and_none_afterwards(
    browse: Browse, script: Script, server: Server, sql: Sql
) -> None:
    taps = [browse(script.url) for _ in range(3)]
    for tap in taps:
        tap.wait_for(lambda tap: tap.seqs == [1])
    _within(2, lambda: len(sql(LISTENERS)) == 1)
    assert server.call(live.client_count) == 3

    for tap in taps:
        tap.close()

    _within(5, lambda: server.call(live.client_count) == 0)
    _within(5, lambda: sql(LISTENERS) == [])


def test_a_killed_listener_costs_no_event(browse: Browse, script: Script, sql: Sql) -> None:
    tap = browse(script.url).wait_for(lambda tap: tap.seqs == [1])
    _within(2, lambda: len(sql(LISTENERS)) == 1)

    for number in range(5):
        sql(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS listener")
        script.note(str(number))
        tap.wait_for(lambda tap, number=number: len(tap.seqs) == number + 2, seconds=3)  # type: ignore[misc]

    assert tap.seqs == [1, 2, 3, 4, 5, 6]


def test_a_lost_notification_is_made_up_for_within_two_seconds(
    browse: Browse, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = browse(script.url).wait_for(lambda tap: tap.seqs == [1])
    script.note("so that the feed has begun")
    tap.wait_for(lambda tap: tap.seqs == [1, 2])
    monkeypatch.setattr(log, "notify", lambda *_: None)

    script.note("unheard")
    tap.wait_for(lambda tap: tap.seqs == [1, 2, 3], seconds=2.2)
    script.say("unheard too")
    tap.wait_for(lambda tap: tap.said == "unheard too", seconds=2.2)


def test_a_killed_web_process_costs_its_clients_a_reconnect_and_no_event(
    browse: Browse, script: Script, web_process: WebProcess
) -> None:
    before = browse(web_process.url + script.url).wait_for(lambda tap: tap.seqs == [1], seconds=30)
    script.note("before")
    before.wait_for(lambda tap: tap.seqs == [1, 2])

    web_process.kill()
    before.to_the_end()
    script.note("meanwhile")
    web_process.start()
    after = browse(web_process.url + script.url, **{"Last-Event-ID": str(before.seqs[-1])})
    script.finish()

    assert before.seqs + after.to_the_end().seqs == [1, 2, 3, 4]


@pytest.fixture
def closed_database(script: Script) -> Iterator[Callable[[], None]]:
    """Cut every connection and let no new one in; calling it opens the database again."""
    name = connection.settings_dict["NAME"]
    with psycopg.connect(**{**own_connection_parameters(), "dbname": "postgres"}, autocommit=True) as outside:

        def allow(answer: bool) -> None:
            outside.execute(
                psycopg.sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(psycopg.sql.Identifier(name), answer)
            )

        connection.close()
        allow(False)
        outside.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield lambda: allow(True)
        allow(True)


def test_a_stream_outlives_the_databases_absence(
    browse: Browse, script: Script, request: pytest.FixtureRequest
) -> None:
    tap = browse(script.url).wait_for(lambda tap: tap.seqs == [1])

    let_in = request.getfixturevalue("closed_database")
    _within(5, _is_away)
    time.sleep(2)  # long enough for the rounds and the listener to fail as well
    assert not tap.is_closed
    let_in()
    script.note("back again")
    script.finish()

    assert tap.to_the_end(seconds=8).seqs == [1, 2, 3]


def _is_away() -> bool:
    try:
        connection.ensure_connection()
    except Exception as error:  # noqa: BLE001  any refusal will do
        return "not currently accepting connections" in str(error)
    return False


def _within(seconds: float, claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it didn't come true in time"
        time.sleep(0.05)
