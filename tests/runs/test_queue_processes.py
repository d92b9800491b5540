"""What the processes of a cluster share, with some of them killed while they use it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

from runs.queue.processes import Flag, ResultQueue, TaskQueue
from tests.runs.conftest import eventually

fork = multiprocessing.get_context("fork")


def read_all(tasks: TaskQueue, results: Any) -> None:
    """A reader, until it is told to stop."""
    for task in iter(tasks.get, "STOP"):
        results.send(task)


def start_readers(tasks: TaskQueue, results: Any, *, count: int) -> list[Any]:
    readers = [fork.Process(target=read_all, args=(tasks, results), daemon=True) for _ in range(count)]
    for reader in readers:
        reader.start()
    return readers


def test_each_task_has_one_reader() -> None:
    tasks, (incoming, outgoing) = TaskQueue(closing=Flag()), fork.Pipe(duplex=False)
    start_readers(tasks, outgoing, count=1)

    for number in range(50):
        tasks.put({"number": number, "text": "x" * number * 1000})
        assert incoming.poll(10)
        assert incoming.recv()["number"] == number

    tasks.put("STOP")
    eventually(tasks.empty)


def test_a_reader_that_is_killed_while_it_waits_takes_nothing_along() -> None:
    tasks, (incoming, outgoing) = TaskQueue(closing=Flag()), fork.Pipe(duplex=False)
    doomed = start_readers(tasks, outgoing, count=3)
    tasks.put("first")
    assert incoming.poll(10)
    assert incoming.recv() == "first"

    for reader in doomed:
        os.kill(reader.pid, signal.SIGKILL)
        reader.join()
    start_readers(tasks, outgoing, count=1)
    tasks.put("second")

    assert incoming.poll(10)
    assert incoming.recv() == "second"
    tasks.put("STOP")
    eventually(tasks.empty)


def test_nothing_is_offered_before_the_last_task_was_taken() -> None:
    tasks = TaskQueue(closing=Flag())
    tasks.put("first")

    waiting = fork.Process(target=tasks.put, args=("second",), daemon=True)
    waiting.start()
    waiting.join(0.3)

    assert waiting.is_alive()
    assert tasks.get() == "first"
    assert tasks.get() == "second"
    waiting.join(10)
    assert not waiting.is_alive()


def test_whoever_closes_waits_for_no_reader() -> None:
    closing = Flag()
    tasks = TaskQueue(closing=closing)
    tasks.put("never taken")
    waiting = fork.Process(target=tasks.put, args=("second",), daemon=True)
    waiting.start()

    closing.set()

    waiting.join(10)
    assert not waiting.is_alive()
    tasks.put("STOP")
    assert [tasks.get() for _ in range(3)] == ["never taken", "second", "STOP"]


def test_results_too_long_to_send_are_told_as_such() -> None:
    results = ResultQueue()

    results.put({"name": "long", "result": "x" * 10_000_000})

    assert results.get() == {"name": "long", "result": "The result is too long to be kept"}
