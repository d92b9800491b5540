"""Workers made for a test that kills hundreds of them, and how they are killed: by strace, at the kernel's door."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.processes import ROOT, wait_until


class Forge:
    """`tests.faults.forging` as a test sees it: the process that forks them."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.forging"],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                process_group=0,
            )

    def worker(self) -> int:
        """Return the pid of a new worker that is stopped before its first statement."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        wait_until(lambda: _state(pid) == "T", within=20, what="a stopped worker")
        return pid

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def forge(environ: dict[str, str], log: Path) -> Iterator[Forge]:
    made = Forge(environ, log)
    try:
        yield made
    finally:
        made.close()


class Doom:
    """A worker under strace, which kills it the moment it is about to make its `number`-th call of a kind.

    Each thread counts for itself.
    """

    def __init__(self, pid: int, *, call: str, number: int, report: Path) -> None:
        self._report = report
        injection = f"inject={call}:signal=KILL:when={number}"
        self._tracer = subprocess.Popen(
            ["strace", "-f", "-q", "-p", str(pid), "-e", f"trace={call}", "-e", injection, "-o", str(report)],
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _tracer_of(pid) != 0, within=20, what="strace")
        os.kill(pid, signal.SIGCONT)

    def has_come(self, *, within: float = 60) -> bool:
        """Wait for the worker's end; False if it came to its end unharmed."""
        self._tracer.wait(within)
        return "killed by SIGKILL" in self._report.read_text()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _tracer_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("TracerPid")).split()[1])
