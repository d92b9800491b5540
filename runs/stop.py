"""The one way to tell a working thread that its run is over."""

from __future__ import annotations

import threading
from typing import Literal

Reason = Literal["cancelled", "timeout", "lost", "shutdown"]


class Stopped(Exception):
    """Raised where work was given up because a `Stop` was set; `reason` says by whom or by what."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Stop:
    """A flag that can be raised once, from any thread, with a reason.

    The first reason wins: a run that was cancelled stays cancelled, even if its lease is lost a moment later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._reason: Reason | None = None

    @property
    def reason(self) -> Reason | None:
        """Why to stop, or None while work may go on."""
        return self._reason

    def set(self, reason: Reason) -> None:
        """Ask for the end; later calls change nothing."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds`; True as soon as the end was asked for."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise `Stopped` if the end was asked for."""
        if self._reason is not None:
            raise Stopped(self._reason)
