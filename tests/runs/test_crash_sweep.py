"""A worker dies, or its connection is cut, before every single statement that it sends: the promises hold each time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, connections

from openintern.database import own_connection_parameters
from runs.models import Run
from runs.queue.worker import work_once
from tests.conftest import Person, reload
from tests.runs.conftest import Crash, a_pulse, expire_leases, in_thread, ticket_of
from tests.runs.test_effects import Tally, assert_whole
from tests.runs.test_engine import calls

Start = Callable[..., Run]
FURTHEST = 200  # more statements than a run of this kind needs


class Saboteur:
    """Lets a connection's `number`-th statement be the last."""

    def __init__(self, number: int, *, cut: bool) -> None:
        self.left = number
        self.cut = cut

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            if not self.cut:
                raise Crash
            end_backend(connection.connection.info.backend_pid)
        return execute(sql, params, many, context)


def end_backend(pid: int) -> None:
    with psycopg.connect(**own_connection_parameters(), autocommit=True) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def work_sabotaged(saboteur: Saboteur) -> None:
    """Be a worker for one run, to the end that the saboteur brings about."""

    def work() -> None:
        with a_pulse() as pulse, connection.execute_wrapper(saboteur), suppress(Crash, OperationalError):
            work_once(pulse)
        connections.close_all()

    in_thread(work)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [False, True], ids=["the worker dies", "its connection is cut"])
def test_at_every_statement(
    alice: Person, start_run: Start, work: Callable[[], int], add_tool: Callable[..., Any], cut: bool
) -> None:
    """`keyed` may run twice under one key; what was acknowledged never does, and every run ends once."""
    for number in range(1, FURTHEST):
        tally = Tally()
        add_tool(tally.tool(), recovery="keyed", mutating=True)
        run = start_run(alice, steps=[calls("count"), calls("count", "count"), {"text": "Counted."}])
        saboteur = Saboteur(number, cut=cut)

        work_sabotaged(saboteur)
        expire_leases()
        work()

        assert reload(alice, run).output == "Counted.", f"statement {number}"
        assert_whole(alice, run)
        assert len(set(tally.keys)) == 3, f"statement {number}"
        assert len(tally.keys) <= 5, f"statement {number}"
        assert ticket_of(run) is None
        if saboteur.left > 0:
            break
    else:
        raise AssertionError(f"a run of three steps takes more than {FURTHEST} statements")
    assert number > 20


def test_a_step_is_two_transactions(
    alice: Person,
    start_run: Start,
    work: Callable[[], int],
    add_tool: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_tool(Tally().tool(), recovery="keyed", mutating=True)
    commits: list[str] = []
    outside: list[str] = []
    original = type(connections["default"])._commit

    def commit(self: Any) -> None:
        commits.append("commit")
        original(self)

    def watch(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if not connection.in_atomic_block and any(word in sql for word in ("INSERT", "UPDATE", "DELETE")):
            outside.append(sql)
        return execute(sql, params, many, context)

    def count(steps: int) -> int:
        start_run(alice, steps=[*[calls("count")] * steps, {"text": "Done."}])
        commits.clear()
        with connection.execute_wrapper(watch):
            work()
        return len(commits)

    monkeypatch.setattr(type(connections["default"]), "_commit", commit)

    assert count(5) - count(3) == 2 * 2
    assert [sql for sql in outside if "runs_livetext" not in sql] == []
