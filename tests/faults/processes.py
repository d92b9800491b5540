"""Real clusters as processes, and what a test may do to them. Only what was started here is ever ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from openintern.tenancy.scope import public_scope
from runs.queue.models import Cluster, Ticket

ROOT = Path(__file__).resolve().parent.parent.parent


def wait_until(claim: Callable[[], Any], *, within: float, what: str = "it") -> Any:
    """Return what `claim` gives as soon as that is true; fail, and say what didn't come, if it isn't in time."""
    ends_at = time.monotonic() + within
    while not (found := claim()):
        assert time.monotonic() < ends_at, f"{what} didn't come within {within} s"
        time.sleep(0.05)
    return found


class WorkerCluster:
    """`manage.py qcluster`, in a process group of its own."""

    def __init__(self, *, environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=ROOT,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
        self.seen: set[int] = {self.process.pid}

    def wait_ready(self) -> None:
        """Return once it has given a sign of life and its workers are there."""
        wait_until(self._is_ready, within=60, what=f"a cluster ({self.log.read_text()[-2000:]})")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with public_scope():
            return Cluster.objects.filter(pid__in=self.descendants()).exists()

    def descendants(self) -> set[int]:
        """All living processes below, and including, the one that was started."""
        parents = living()
        found = {self.process.pid} & parents.keys()
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        self.seen |= found
        return found

    def sentinel(self) -> int:
        """The process that guards the others."""
        return next(pid for pid, parent in living().items() if parent == self.process.pid)

    def workers(self) -> set[int]:
        """The processes that take bells, which is all but the main one, its sentinel, pusher and monitor."""
        sentinel = self.sentinel()
        children = sorted(pid for pid, parent in living().items() if parent == sentinel)
        with public_scope():
            pushers = set(Cluster.objects.filter(pid__in=children).values_list("pid", flat=True))
        return {pid for pid in children if pid not in pushers}

    def leftovers(self) -> set[int]:
        """Those of its processes that are still alive."""
        return self.seen & living().keys()

    def terminate(self, *, within: float = 40) -> float:
        """Ask it to end, and return how many seconds that took."""
        self.descendants()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(within)
        return time.monotonic() - began

    def kill(self) -> None:
        """End all of it, at once."""
        self.descendants()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def living() -> dict[int, int]:
    """Every process that isn't a zombie of the kernel's, with its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    found[int(entry.name)] = int(parent)
    return found


def holder_of(run_id: str) -> int:
    """The process that is at work on a run."""
    with public_scope():
        owner = Ticket.objects.values_list("leased_by", flat=True).get(run_id=run_id)
    return int(owner.split(":")[1])
