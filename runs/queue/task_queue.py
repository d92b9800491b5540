"""The queue between a cluster's pusher and its workers: one that no dying worker can take along.

multiprocessing's own is read under a lock. The worker that waits for the next task holds it, and when that worker is
killed nobody gets it back: all the others are deaf for good. Here the kernel hands each message, whole, to one reader;
all that a reader can take with it is the message it has just taken.
"""

from __future__ import annotations

import pickle
import socket
import time
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

_LONGEST = 1 << 20  # bytes; the kernel refuses to send more than its buffer holds, which is less
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between looks at whether the last task was taken


class TaskQueue:
    """What django-q2 asks of a queue. Made before the processes that share it are forked."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reader.setblocking(False)

    def put(self, task: Any) -> None:
        """Offer a task as soon as the one before it was taken: none waits here while another cluster is free."""
        pause = _SHORTEST_PAUSE
        while not self.empty():
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._writer.send(pickle.dumps(task))

    def get(self) -> Any:
        """Wait for a task and take it. Every waiting reader is woken, and one of them has it."""
        while True:
            wait([self._reader])
            with suppress(BlockingIOError):
                return pickle.loads(self._reader.recv(_LONGEST))  # noqa: S301  what our own process sent

    def empty(self) -> bool:
        """Whether every task has been taken."""
        return not wait([self._reader], timeout=0)

    def qsize(self) -> int:
        """How many tasks wait: one at most."""
        return int(not self.empty())

    def close(self) -> None:
        """Nothing to do: the last process that holds an end closes it. Asked for by django-q2, as `join_thread` is."""

    def join_thread(self) -> None:
        """There is no thread: a task that was put is there."""
