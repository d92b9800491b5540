"""What is read off the database and the machine while something is measured."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
from django.db import connection

from openintern.database import own_connection_parameters

_READ = """
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
           (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
           xact_commit
    FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Reading:
    """Counters of the whole server: transactions that wrote (and savepoints that did), bytes of WAL, all commits.

    The first two are exact at every moment. Sessions report their commits when they end one a second or more after the last
    report, or have been idle for ten seconds: take those over long stretches.
    """

    writes: int
    wal: int
    commits: int

    def __sub__(self, other: Reading) -> Reading:
        return Reading(self.writes - other.writes, self.wal - other.wal, self.commits - other.commits)


class Gauge:
    """Reads the counters on a connection of its own, without writing anything."""

    def __enter__(self) -> Self:
        self._own = psycopg.connect(**own_connection_parameters(), autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._own.close()

    def read(self) -> Reading:
        """Return how far the counters are."""
        return Reading(*self._own.execute(_READ).fetchone())  # type: ignore[misc]

    def sessions(self, *applications: str) -> int:
        """Return how many connections the applications hold."""
        found = self._own.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = ANY(%s)", [list(applications)]
        ).fetchone()
        return int(found[0]) if found else 0


class Statements:
    """Counts what this thread's Django connection sends."""

    count = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


@contextmanager
def counted_statements() -> Iterator[Statements]:
    """Count the statements of the block."""
    statements = Statements()
    with connection.execute_wrapper(statements):
        yield statements


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which `percent` of the values lie, between two where it falls between them."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def proportional_mb(pid: int) -> float:
    """Return a process's memory in MB, what it shares divided by those who share it."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB", told, re.MULTILINE)
    return int(found[1]) / 1024 if found else math.nan


def wait_until(claim: Callable[[], Any], *, within: float, what: str) -> Any:
    """Return what `claim` gives as soon as that is true. Raises TimeoutError that says what didn't come."""
    ends_at = time.monotonic() + within
    while not (found := claim()):
        if time.monotonic() > ends_at:
            raise TimeoutError(f"{what}: not within {within:g} s")
        time.sleep(0.02)
    return found
