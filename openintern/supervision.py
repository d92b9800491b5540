"""Child processes: each in a group of its own, none outliving us, stopped kindly and then for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, Self

from openintern.lifeline import die_with_parent

#: A child that lived this long (seconds) was well: its next end is the first of a new row.
WELL_AFTER = 60.0
#: Pause (seconds) before each restart in a row; when they are used up, the child is given up.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
#: Signals this close (seconds) are one wish to stop: a terminal, make and a shell may each pass it on.
ONE_WISH = 1.0


@dataclass(frozen=True)
class Account:
    """The system user that a child runs as, where that isn't ourselves."""

    name: str
    uid: int
    gid: int


class GivenUp(Exception):
    """A child ended again and again; its message is fit for the person at the terminal."""


def spawn(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    account: Account | None = None,
    death_signal: int = signal.SIGKILL,
    stdin: IO[str] | int = subprocess.DEVNULL,
    stdout: IO[bytes] | IO[str] | int | None = None,
    stderr: IO[bytes] | IO[str] | int | None = None,
    cwd: str | None = None,
) -> subprocess.Popen[str]:
    """Start a process in a group of its own that gets `death_signal` when the calling thread ends.

    Call it from the main thread. The terminal's Ctrl-C doesn't reach the child: we pass on what it should hear.
    """
    parent = os.getpid()
    return subprocess.Popen(
        command,
        env=environ,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        text=True,
        process_group=0,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # after the change of user, which would clear the request
        preexec_fn=lambda: die_with_parent(parent, death_signal),  # noqa: PLW1509  we have one thread
    )


def end(process: subprocess.Popen[str], *, stop_signal: int | None = signal.SIGTERM, within: float) -> int:
    """Ask a process to stop (None: it was asked); after `within` seconds end its whole group. Returns its exit status."""
    if process.poll() is None:
        if stop_signal is not None:
            process.send_signal(stop_signal)
        try:
            process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            kill_group(process)
    return process.wait()


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a process and whatever it started in its group, at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def describe_exit(status: int) -> str:
    """Say how a process ended: "exit status 3", "signal SIGKILL"."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


@dataclass
class Service:
    """A child that is to be there all the time, and is started again when it isn't.

    One that no other child needs has a `stop_signal`: it is told at the same time as the others of its kind, and `stop`
    then only waits. One without is stopped when its turn comes.
    """

    name: str
    start: Callable[[], subprocess.Popen[str]]
    stop: Callable[[subprocess.Popen[str]], object]
    stop_signal: int | None = None
    process: subprocess.Popen[str] | None = None
    _started_at: float = 0.0
    _ends_in_a_row: int = 0
    _again_at: float = 0.0

    def begin(self) -> None:
        """Start the child."""
        self._started_at = time.monotonic()
        self.process = self.start()

    def ask(self) -> None:
        """Tell the child to stop, where it may be told before its turn."""
        if self.process is not None and self.stop_signal is not None:
            self.process.send_signal(self.stop_signal)

    def finish(self) -> None:
        """Stop the child, if there is one."""
        if self.process is not None:
            self.stop(self.process)
            self.process = None

    def tend(self, *, tell: Callable[[str], None]) -> None:
        """Look after the child: report an end that nobody asked for, and start it again after a pause.

        Raises GivenUp when it has ended too often in a row.
        """
        now = time.monotonic()
        if self.process is None:
            if now >= self._again_at:
                self.begin()
            return
        status = self.process.poll()
        if status is None:
            return
        kill_group(self.process)  # it may have left children of its own behind
        self.process = None
        self._ends_in_a_row = 1 if now - self._started_at > WELL_AFTER else self._ends_in_a_row + 1
        if self._ends_in_a_row > len(PAUSES):
            raise GivenUp(f"{self.name} ended {self._ends_in_a_row} times in a row, last with {describe_exit(status)}")
        pause = PAUSES[self._ends_in_a_row - 1]
        self._again_at = now + pause
        tell(f"{self.name} ended with {describe_exit(status)}; it is started again in {pause:g} s")


class Supervisor:
    """Services in the order they need each other; stopped in the opposite order at the end of the block.

    Those that may be told at once stop side by side: the slowest is waited for, not their sum.
    """

    def __init__(self, *, tell: Callable[[str], None]) -> None:
        self._services: list[Service] = []
        self._tell = tell

    def begin(self, service: Service) -> None:
        """Start a service and look after it from now on."""
        self._services.append(service)
        service.begin()

    def tend(self) -> None:
        """Look after every service once. Raises GivenUp."""
        for service in self._services:
            service.tend(tell=self._tell)

    def watch(self) -> None:
        """Look after the services until a signal or GivenUp ends it."""
        while True:
            self.tend()
            time.sleep(0.25)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for service in self._services:
                service.ask()
            while self._services:
                self._services[-1].finish()
                self._services.pop()
        except KeyboardInterrupt:  # asked a second time: no more waiting
            for service in reversed(self._services):
                if service.process is not None:
                    kill_group(service.process)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let TERM and HUP end the block as Ctrl-C does: by KeyboardInterrupt, so that everything is taken down in order."""
    last = -ONE_WISH

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before_this, last = last, time.monotonic()
        if last - before_this > ONE_WISH:
            raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
