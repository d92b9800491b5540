"""The worker cluster, started as `up` starts it, and looked at from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openintern.bench.gauges import wait_until
from openintern.bench.web import kept
from openintern.startup import parts
from openintern.tenancy.scope import public_scope
from runs.queue.models import Cluster


@contextmanager
def workers(count: int) -> Iterator[int]:
    """Keep a cluster with so many workers for the block; yields its main process once it is at work."""
    os.environ["OPENINTERN_WORKERS"] = str(count)
    with public_scope():
        Cluster.objects.all().delete()
    with kept(parts.workers()) as pid:
        wait_until(_is_seen, within=120, what="the workers")
        yield pid


def workers_of(main: int) -> list[int]:
    """Return the processes that take runs: the sentinel's first children, before its monitor and its pusher."""
    [sentinel] = _children(main)
    return _children(sentinel)[: int(os.environ["OPENINTERN_WORKERS"])]


def _children(pid: int) -> list[int]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return sorted(int(child) for child in told.split())


def _is_seen() -> bool:
    with public_scope():
        return Cluster.objects.exists()
