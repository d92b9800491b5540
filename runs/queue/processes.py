"""What the processes of a cluster share. None of it is read under a lock that a killed process could take along.

multiprocessing's own queues, events and values are: the reader that waits for the next message holds the queue's lock, and
when it is killed nobody gets that back. Whoever comes in its place is deaf for good, and a cluster that waits for its
processes to end waits for ever.
"""

from __future__ import annotations

import pickle
import socket
import threading
import time
from contextlib import suppress
from multiprocessing import Value
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import RawValue
from typing import Any, Protocol

_LONGEST = 1 << 20  # bytes; the kernel refuses to send more than its buffer holds, which is less
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between looks at whether the last task was taken


class Sign(Protocol):
    """Something to look at now and then."""

    def is_set(self) -> bool: ...


class Flag:
    """Raised once, and seen by every process that was forked since it was made."""

    def __init__(self) -> None:
        self._raised = RawValue("b", 0)

    def set(self) -> None:
        """Raise it."""
        self._raised.value = 1

    def is_set(self) -> bool:
        """Whether it was raised."""
        return bool(self._raised.value)


class MessageQueue:
    """What django-q2 asks of a queue: the kernel hands each message, whole, to one reader.

    All that a reader can take with it is the message it has just taken. Made before the processes that share it are forked.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._reader.setblocking(False)

    def put(self, message: Any) -> None:
        """Send a message; waits while the kernel's buffer is full."""
        self._writer.send(pickle.dumps(message))

    def get(self) -> Any:
        """Wait for a message and take it. Every waiting reader is woken, and one of them has it."""
        while True:
            wait([self._reader])
            with suppress(BlockingIOError):
                return pickle.loads(self._reader.recv(_LONGEST))  # noqa: S301  what our own process sent

    def empty(self) -> bool:
        """Whether every message has been taken."""
        return not wait([self._reader], timeout=0)

    def qsize(self) -> int:
        """How many messages wait, as far as it can be told: one at most."""
        return int(not self.empty())

    def close(self) -> None:
        """Nothing to do: the last process that holds an end closes it. Asked for by django-q2, as `join_thread` is."""

    def join_thread(self) -> None:
        """There is no thread: a message that was put is there."""


class TaskQueue(MessageQueue):
    """Tasks for the workers. One is offered as soon as the one before was taken: none waits while another cluster is free.

    Where `closing` is raised nothing waits any more, for there may be no worker left that takes anything.
    """

    def __init__(self, *, closing: Sign) -> None:
        super().__init__()
        self._closing = closing

    def put(self, message: Any) -> None:
        """Offer a task."""
        pause = _SHORTEST_PAUSE
        while not self.empty() and not self._closing.is_set():
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        super().put(message)


class ResultQueue(MessageQueue):
    """What came of the tasks, for the monitor. A result too long to send is told as such."""

    def put(self, message: Any) -> None:
        """Send a result."""
        try:
            super().put(message)
        except OSError:
            super().put({**message, "result": "The result is too long to be kept"})


def timer() -> Any:
    """A worker's timer as django-q2 keeps it, whose lock is each process's own: a float is written whole anyway."""
    lock: Any = threading.RLock()
    return Value("f", -1, lock=lock)
