"""The text of the step that is running, for whoever watches: at most 20 writes a second, in no log.

The row is the text so far, so somebody who joins in the middle of an answer sees all of it.
"""

from __future__ import annotations

import time

from openintern.text import storable
from runs import log
from runs.models import LiveText, Run

_INTERVAL = 0.05  # seconds between writes


class LiveWriter:
    """Collects the fragments of one model call."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._text = ""
        self._written_at = 0.0
        self.has_row = False

    def add(self, fragment: str) -> None:
        """Take a fragment; write what there is if the last write is long enough ago."""
        self._text += fragment
        if time.monotonic() - self._written_at >= _INTERVAL:
            self._write()

    def start_over(self) -> None:
        """Forget the text of a call that failed and is made again."""
        self._text = ""
        if self.has_row:
            self._write()

    def clear(self) -> None:
        """Remove the row, in the transaction that stores the whole answer."""
        if self.has_row:
            LiveText.objects.filter(pk=self._run.pk).delete()
            self.has_row = False

    def _write(self) -> None:
        row = LiveText(run_id=self._run.pk, attempt=self._run.attempt, step=self._run.step, text=storable(self._text))
        LiveText.objects.bulk_create([row], update_conflicts=True, unique_fields=["run"], update_fields=["attempt", "step", "text"])
        log.notify(log.CHANNEL, self._run.pk)
        self.has_row = True
        self._written_at = time.monotonic()
