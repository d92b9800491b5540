"""django-q2's cluster, whose processes end with it and whose workers hand back what they can't finish."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django_q import cluster as django_q_cluster
from django_q.cluster import Cluster, Sentinel
from django_q.worker import worker as work_on_tasks

from openintern.lifeline import die_with_parent
from runs.llm.registry import load_ahead
from runs.queue import life, worker
from runs.queue.processes import Flag, ResultQueue, TaskQueue, timer


class Command(BaseCommand):
    help = "Start a group of worker processes. Any number may work on one database, on any number of machines."
    requires_system_checks = []  # they load every page and its libraries, which a worker never needs

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run-once", action="store_true", help="stop as soon as the cluster has started")

    def handle(self, *args: Any, run_once: bool, **options: Any) -> None:
        django_q_cluster.Sentinel = _Sentinel  # Cluster.start looks it up there
        worker.shutdown = Flag()
        _end_children_with_us()
        load_ahead()  # once, before the workers are forked: it takes seconds, and they share the memory
        cluster = _Cluster()
        cluster.start()
        if run_once:
            cluster.stop()


class _Cluster(Cluster):  # type: ignore[misc]
    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        """Tell the workers to hand back their runs, then let django-q2 wait for them."""
        if worker.shutdown is not None:
            worker.shutdown.set()
        signal.signal(signum, signal.SIG_IGN)  # once is enough: a second Ctrl-C mustn't cut the hand-over short
        super().sig_handler(signum, frame)


class _Sentinel(Sentinel):  # type: ignore[misc]
    """Signals are the main process's to act on. A service manager sends them to every process at once; a sentinel that
    obeyed would take the workers with it, in the middle of what they do."""

    def start(self) -> None:
        _leave_signals_to_main()
        super().start()

    def stop(self) -> None:
        super().stop()
        life.end()

    def reincarnate(self, process: Any) -> None:
        """Have a dead worker's run go on at once, not when its lease expires."""
        is_worker = process in self.pool
        super().reincarnate(process)
        if is_worker and not process.is_alive():
            worker.bury(process.pid)

    def spawn_cluster(self) -> None:
        """Put what no killed process can lock in the place of what django-q2 shares between its own."""
        self.event_out = Flag()
        self.task_queue = TaskQueue(closing=self.event_out)
        self.result_queue = ResultQueue()
        super().spawn_cluster()

    def spawn_worker(self) -> None:
        self.spawn_process(work_on_tasks, self.task_queue, self.result_queue, timer(), self.timeout)


def _leave_signals_to_main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _end_children_with_us() -> None:
    """Have every process of the cluster die with the one that forked it, also after a kill -9."""
    parent = [os.getpid()]  # as seen by the child that is being forked

    def before_fork() -> None:
        parent[0] = os.getpid()

    def after_fork() -> None:
        _leave_signals_to_main()
        die_with_parent(parent[0])

    os.register_at_fork(before=before_fork, after_in_child=after_fork)
