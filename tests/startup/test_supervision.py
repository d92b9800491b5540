"""Children: in a group of their own, gone when we are, started again when they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openintern import supervision
from openintern.supervision import GivenUp, Service, Supervisor, end, spawn

ROOT = Path(__file__).resolve().parent.parent.parent

#: A parent with a child that has a child, all in their own right deaf to TERM.
FAMILY = """
import os, signal, subprocess, sys, time
from openintern.supervision import spawn
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
child = spawn([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(600)
"""
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
FAIL = [sys.executable, "-c", "raise SystemExit(3)"]


def until(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_ignores_term_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", FAMILY], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.communicate()

    until(lambda: not is_alive(child))


def test_a_child_that_ignores_term_is_ended_with_its_group() -> None:
    deaf = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "inner = subprocess.Popen(['sleep', '600']); print(inner.pid, flush=True); time.sleep(600)"
    )
    child = spawn([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())

    status = end(child, within=0.2)

    assert status == -signal.SIGKILL
    until(lambda: not is_alive(grandchild))
    child.stdout.close()


def test_a_child_is_asked_first() -> None:
    polite = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(7)); print('up', flush=True); time.sleep(600)"
    child = spawn([sys.executable, "-c", polite], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()

    assert end(child, within=20) == 7
    child.stdout.close()


def service(command: list[str], name: str = "the part") -> Service:
    return Service(name, start=lambda: spawn(command), stop=lambda process: end(process, within=5))


def test_a_service_that_was_killed_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSES", (0.0, 0.0))
    told: list[str] = []
    with Supervisor(tell=told.append) as supervisor:
        part = service(SLEEP)
        supervisor.begin(part)
        assert part.process is not None
        first = part.process.pid

        os.kill(first, signal.SIGKILL)
        until(lambda: supervisor.tend() or (part.process is not None and part.process.pid != first))  # type: ignore[func-returns-value]

        assert part.process.poll() is None
    assert told == ["the part ended with signal SIGKILL; it is started again in 0 s"]


def test_a_service_that_ends_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "PAUSES", (0.0, 0.0))
    told: list[str] = []
    with Supervisor(tell=told.append) as supervisor:
        supervisor.begin(service(FAIL))

        with pytest.raises(GivenUp, match="the part ended 3 times in a row, last with exit status 3"):
            until(lambda: bool(supervisor.tend()))  # type: ignore[func-returns-value]

    assert len(told) == 2


def test_services_are_stopped_in_the_opposite_order_of_their_start() -> None:
    stopped: list[str] = []

    def noting(name: str) -> Service:
        def stop(process: subprocess.Popen[str]) -> None:
            stopped.append(name)
            end(process, within=5)

        return Service(name, start=lambda: spawn(SLEEP), stop=stop)

    with Supervisor(tell=print) as supervisor:
        supervisor.begin(noting("database"))
        supervisor.begin(noting("web"))

    assert stopped == ["web", "database"]


def test_services_that_may_be_told_at_once_stop_side_by_side() -> None:
    def wait_for_all(process: subprocess.Popen[str]) -> None:
        for part in parts:
            assert part.process is None or part.process.wait(timeout=10) == -signal.SIGTERM

    parts = [
        Service(name, start=lambda: spawn(SLEEP), stop=wait_for_all, stop_signal=signal.SIGTERM)
        for name in ("web", "workers", "courier")
    ]
    with Supervisor(tell=print) as supervisor:
        for part in parts:
            supervisor.begin(part)

    assert [part.process for part in parts] == [None, None, None]


def test_asked_a_second_time_to_stop_it_waits_no_longer() -> None:
    def stop(process: subprocess.Popen[str]) -> None:
        raise KeyboardInterrupt

    part = Service("slow", start=lambda: spawn(SLEEP), stop=stop)
    with Supervisor(tell=print) as supervisor:
        supervisor.begin(part)

    assert part.process is not None
    assert part.process.returncode == -signal.SIGKILL


def test_a_signal_that_comes_twice_at_once_is_one_wish() -> None:
    with supervision.stopped_by_signals():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

        signal.raise_signal(signal.SIGTERM)  # raises nothing: the stop that was begun goes on


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_every_way_to_ask_ends_the_block_alike(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    with pytest.raises(KeyboardInterrupt), supervision.stopped_by_signals():
        signal.raise_signal(number)

    assert signal.getsignal(number) is before
