"""How fast somebody may speak."""

from __future__ import annotations

from typing import Final

BURST: Final = 20  # commands at once
A_SECOND: Final = 5.0  # commands in the long run
PATIENCE: Final = 100  # commands over that before the line is cut


class Flood(Exception):
    """Somebody goes on sending although they are told to wait."""


class Pace:
    """A bucket of tokens: each command takes one, time brings them back."""

    def __init__(self, *, at: float) -> None:
        self._tokens = float(BURST)
        self._at = at
        self._refused = 0

    def allows(self, *, at: float) -> bool:
        """Whether a command may be carried out at `at` (seconds of any clock). Raises Flood after too many refusals."""
        self._tokens = min(float(BURST), self._tokens + (at - self._at) * A_SECOND)
        self._at = at
        if self._tokens >= 1:
            self._tokens -= 1
            self._refused = 0
            return True
        self._refused += 1
        if self._refused > PATIENCE:
            raise Flood
        return False
