"""The least that PostgreSQL takes for what the engine and the queue do, with psycopg and nothing around it.

A run's step is five events and a pointer, in a transaction before the tool runs (what is meant) and one after it (what
came of it). A queue is a row that one worker takes with SKIP LOCKED and marks as done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from openintern.database import own_connection_parameters

_TABLES = """
    CREATE SCHEMA IF NOT EXISTS bench_floor;
    CREATE TABLE IF NOT EXISTS bench_floor.run (id bigserial PRIMARY KEY, step int NOT NULL, at timestamptz NOT NULL DEFAULT now());
    CREATE TABLE IF NOT EXISTS bench_floor.event (
        id bigserial PRIMARY KEY, run_id bigint NOT NULL, seq int NOT NULL, step int NOT NULL, type text NOT NULL,
        payload jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now(), UNIQUE (run_id, seq)
    );
    CREATE TABLE IF NOT EXISTS bench_floor.job (id bigserial PRIMARY KEY, state text NOT NULL DEFAULT 'todo', body jsonb);
    CREATE INDEX IF NOT EXISTS job_todo ON bench_floor.job (id) WHERE state = 'todo';
"""
_EVENT = "INSERT INTO bench_floor.event (run_id, seq, step, type, payload) VALUES (%s, %s, %s, %s, %s)"
_TAKE = """
    UPDATE bench_floor.job SET state = 'doing' WHERE id = (
        SELECT id FROM bench_floor.job WHERE state = 'todo' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1
    ) RETURNING id
"""
_DONE = "UPDATE bench_floor.job SET state = 'done' WHERE id = %s"
_PUT = "INSERT INTO bench_floor.job (body) VALUES (%s) RETURNING id"


def connect() -> psycopg.Connection[Any]:
    """Return a connection on which the floors' tables are there, and every statement is prepared."""
    own = psycopg.connect(**own_connection_parameters(), autocommit=True)
    own.execute(_TABLES)
    own.prepare_threshold = 0
    return own


def two_transactions(own: psycopg.Connection[Any], entries: list[str]) -> list[float]:
    """Take as many steps as there are entries (a tool's results); return the seconds of each."""
    run_id = own.execute("INSERT INTO bench_floor.run (step) VALUES (0) RETURNING id").fetchone()[0]  # type: ignore[index]
    taken = []
    for step, entry in enumerate(entries):
        began = time.perf_counter()
        called = {"name": "look_up", "id": f"c{step}", "args": {"number": step}}
        _write(
            own,
            run_id,
            step,
            0,
            {"step.started": {}, "llm.called": {"text": "…", "calls": [called]}, "tool.called": called},
        )
        with own.transaction(), own.pipeline():
            _events(
                own, run_id, step, 3, {"tool.result": {"id": f"c{step}", "result": entry}, "step.completed": {"ms": 1}}
            )
            own.execute("UPDATE bench_floor.run SET step = %s, at = now() WHERE id = %s", (step, run_id))
        taken.append(time.perf_counter() - began)
    return taken


def _write(own: psycopg.Connection[Any], run_id: int, step: int, first: int, events: dict[str, Any]) -> None:
    with own.transaction(), own.pipeline():
        _events(own, run_id, step, first, events)


def _events(own: psycopg.Connection[Any], run_id: int, step: int, first: int, events: dict[str, Any]) -> None:
    for place, (name, payload) in enumerate(events.items(), first):
        own.execute(_EVENT, (run_id, step * 5 + place, step, name, Jsonb(payload)))


def jobs_a_second(own: psycopg.Connection[Any], *, count: int) -> float:
    """Put jobs, then take and finish them one after another; return how many a second."""
    with own.transaction(), own.cursor() as cursor:
        cursor.executemany(_PUT, [(Jsonb({"number": number}),) for number in range(count)])
    began = time.perf_counter()
    done = 0
    while row := own.execute(_TAKE).fetchone():
        own.execute(_DONE, (row[0],))
        done += 1
    return done / (time.perf_counter() - began)


def enqueue_to_start(own: psycopg.Connection[Any], *, count: int, pause: Callable[[], None]) -> list[float]:
    """Put jobs one by one for somebody who sleeps on LISTEN; return the seconds from the call to the start of each."""
    began: dict[int, float] = {}
    started: dict[int, float] = {}
    ready, all_started = threading.Event(), threading.Event()

    def work() -> None:
        with connect() as worker:
            worker.execute("LISTEN bench_floor")
            ready.set()
            while len(started) < count:
                for _ in worker.notifies(timeout=5, stop_after=1):
                    pass
                while row := worker.execute(_TAKE).fetchone():
                    started[row[0]] = time.perf_counter()
                    worker.execute(_DONE, (row[0],))
        all_started.set()

    threading.Thread(target=work, name="floor", daemon=True).start()
    ready.wait(10)
    for number in range(count):
        at = time.perf_counter()
        with own.transaction():
            job = own.execute(_PUT, (Jsonb({"number": number}),)).fetchone()[0]  # type: ignore[index]
            own.execute("NOTIFY bench_floor")
        began[job] = at
        pause()
    all_started.wait(10)
    return [started[job] - at for job, at in began.items()]
