"""The stream of a run, over HTTP, as its clients see it."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import cast

import httpx
import pytest
from django.db import connection

from openintern.live import stream
from runs.events import Draft, EventType
from tests.conftest import Cast
from tests.live.conftest import Script, Server
from tests.live.sse import Tap

Browse = Callable[..., Tap]


def test_a_stream_starts_with_connected_and_replays_the_log_from_its_first_event(
    browse: Browse, script: Script
) -> None:
    script.note("one")

    tap = browse(script.url).wait_for(lambda tap: len(tap.logged) == 2)

    assert tap.sent[0].event == "connected"
    assert tap.sent[0].id is None
    assert tap.sent[0].data["runId"] == script.run.pk
    assert set(tap.sent[0].data) == {"clientId", "runId", "ts"}
    assert tap.seqs == [1, 2]
    assert tap.logged[1].data["seq"] == 2
    assert tap.logged[1].data["payload"]["message"] == "one"


def test_the_headers_let_no_cache_and_no_proxy_hold_it_back_and_no_other_origin_in(
    browse: Browse, script: Script
) -> None:
    tap = browse(script.url, Origin="https://elsewhere.example")

    assert tap.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in tap.headers["cache-control"]
    assert tap.headers["x-accel-buffering"] == "no"
    assert not [name for name in tap.headers if name.startswith("access-control-")]


def test_events_come_while_they_are_written_and_the_stream_closes_after_the_last(
    browse: Browse, script: Script
) -> None:
    tap = browse(script.url).wait_for(lambda tap: tap.seqs == [1])

    script.note("live")
    tap.wait_for(lambda tap: tap.seqs == [1, 2], seconds=1)
    script.finish()
    tap.to_the_end(seconds=1)

    assert tap.seqs == [1, 2, 3]
    assert tap.logged[-1].type == "run.completed"


def test_whoever_comes_after_the_end_gets_everything_and_the_end(browse: Browse, script: Script) -> None:
    for number in range(250):  # more than two pages
        script.note(str(number))
    script.finish()

    tap = browse(script.url).to_the_end()

    assert tap.seqs == list(range(1, 253))


def test_whoever_has_the_end_already_gets_204(api: httpx.Client, script: Script) -> None:
    script.finish()

    assert api.get(script.url, headers={"Last-Event-ID": "2"}).status_code == 204
    assert api.get(script.url, params={"cursor": "99"}).status_code == 204


def test_last_event_id_wins_over_the_cursor_and_no_other_parameter_means_anything(
    browse: Browse, script: Script
) -> None:
    script.note("one")
    script.note("two")
    script.finish()

    tap = browse(
        script.url + "?cursor=1&lastEventId=0&channel=public:x&link=next&recover=true", **{"Last-Event-ID": "2"}
    ).to_the_end()

    assert tap.seqs == [3, 4]


@pytest.mark.parametrize("cursor", ["-1", "1.5", "abc", "9" * 19, "²", "1,2", "error", "x:1"])
def test_a_cursor_that_is_no_number_is_refused(api: httpx.Client, script: Script, cursor: str) -> None:
    answer = api.get(script.url, params={"cursor": cursor})

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
    assert answer.json()["error"]["details"] == {"field": "cursor"}


def test_a_bad_last_event_id_or_a_claim_of_the_librarys_is_refused(api: httpx.Client, script: Script) -> None:
    assert api.get(script.url, headers={"Last-Event-ID": "garbage"}).status_code == 400
    assert api.get(script.url, params={"es-meta": "eyJhbGciOiJub25lIn0.e30."}).status_code == 400
    assert api.get(script.url + "?cursor=%00").status_code == 400


def test_a_cursor_from_the_future_waits_for_what_comes_next(browse: Browse, script: Script) -> None:
    tap = browse(script.url + "?cursor=1000000000").wait_for(lambda tap: len(tap.sent) == 1)

    script.finish()

    assert tap.to_the_end(seconds=2).seqs == [2]


def test_only_get_is_answered(api: httpx.Client, script: Script) -> None:
    assert api.head(script.url).status_code == 405
    assert api.post(script.url, headers={"Content-Type": "application/json"}).status_code in {403, 405}


def test_resuming_at_random_places_while_a_writer_appends_leaves_no_gap_and_no_duplicate(
    browse: Browse, script: Script
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    writer = threading.Thread(target=_write_events, args=(script, 300))
    writer.start()
    seen: list[int] = []

    while True:
        tap = browse(script.url, **({"Last-Event-ID": str(seen[-1])} if seen else {}))
        enough = chance.randint(1, 40)
        tap.wait_for(lambda tap, enough=enough: len(tap.logged) >= enough or tap.is_closed)  # type: ignore[misc]
        tap.close()
        seen += tap.seqs
        if tap.logged[-1].type == "run.completed":
            break

    writer.join()
    assert seen == list(range(1, 303))


def _write_events(script: Script, count: int) -> None:
    for number in range(count):
        script.note(str(number))
    script.finish()
    connection.close()  # this thread's own


def test_a_slow_client_neither_loses_events_nor_holds_up_the_others(
    browse: Browse, server: Server, script: Script
) -> None:
    fast = browse(script.url).wait_for(lambda tap: tap.seqs == [1])
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        key = fast._response.request.headers["authorization"]
        slow.sendall(
            f"GET {script.url} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: {key}\r\n\r\n".encode()
        )
        for number in range(120):  # far more than sockets and queues hold
            script.note(f"{number} " + "x" * 40_000)
        script.finish()
        fast.to_the_end(seconds=20)

        slow.settimeout(20)
        received = b"".join(iter(partial(slow.recv, 1 << 20), b""))

    assert fast.seqs == list(range(1, 123))
    assert [int(number) for number in re.findall(rb"^id: (\d+)$", received, re.MULTILINE)] == list(range(1, 123))


def test_what_a_model_says_forges_no_frame(browse: Browse, script: Script) -> None:
    nasty = 'x\r\n\r\nevent: forged\r\nid: 99\ndata: {}\n\n\u2028\u2029\u0085\x0b\x1e\\u0000: "}'
    script.say(nasty)
    tap = browse(script.url).wait_for(lambda tap: bool(tap.tokens))
    script.note(nasty)
    script.answer(nasty)
    script.finish()
    tap.to_the_end()

    assert {sent.event for sent in tap.sent} == {"connected", "run.event"}
    assert tap.seqs == [1, 2, 3, 4]
    assert tap.said == nasty
    assert tap.logged[1].data["payload"]["message"] == nasty
    assert tap.raw.isascii()
    assert b"\r" not in tap.raw


def test_another_organisations_run_looks_like_one_that_never_was(
    server: Server, committed: Cast, script: Script
) -> None:
    with httpx.Client(base_url=server.url, headers=committed.charlie.headers) as charlie:
        foreign = charlie.get(script.url)
        missing = charlie.get("/api/runs/run_neverwas/stream")

    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() == missing.json()
    volatile = {"x-request-id", "date"}
    assert {k: v for k, v in foreign.headers.items() if k not in volatile} == {
        k: v for k, v in missing.headers.items() if k not in volatile
    }


def test_a_members_stream_of_somebody_elses_run_is_a_404(api: httpx.Client, committed: Cast, script: Script) -> None:
    assert api.get(script.url, headers=committed.bob.headers).status_code == 404


def test_nobody_is_told_to_sign_in(server: Server, script: Script) -> None:
    answer = httpx.get(server.url + script.url)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


def test_pings_come_when_nothing_else_does(browse: Browse, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING", 0.3)
    tap = browse(script.url)

    tap.wait_for(lambda tap: [sent.event for sent in tap.sent].count("ping") >= 3, seconds=2)

    assert set(tap.sent[-1].data) == {"ts"}
    assert tap.sent[-1].id is None


def test_pings_come_in_the_promised_time() -> None:
    assert stream.PING < 15


def test_an_event_of_another_version_is_told_like_any_other(script: Script, browse: Browse) -> None:
    script.write(Draft(cast(EventType, "run.dreamt"), {"of": "sheep"}))
    script.finish()

    tap = browse(script.url).to_the_end()

    assert tap.seqs == [1, 2, 3]
    assert b"run.dreamt" in tap.raw
