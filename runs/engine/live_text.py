"""The text of the step that is running, for whoever watches: at most 20 writes a second, in no log.

The row is the text so far, so somebody who joins in the middle of an answer sees all of it. An answer that is there at
once is never in it.
"""

from __future__ import annotations

import time

from django.db import connection

from openintern.redaction import redact_text
from openintern.text import storable
from runs import log
from runs.models import Run

_INTERVAL = 0.05  # seconds between writes

#: Fenced as the log is: a worker that has lost its run shows nothing more.
_WRITE = """
    WITH written AS (
        INSERT INTO runs_livetext (run_id, attempt, step, agent_id, text)
        SELECT id, attempt, %(step)s, %(agent)s, %(text)s FROM runs_run WHERE id = %(run)s AND attempt = %(attempt)s AND status = 'running'
        ON CONFLICT (run_id) DO UPDATE
        SET attempt = excluded.attempt, step = excluded.step, agent_id = excluded.agent_id, text = excluded.text
        RETURNING run_id
    )
    SELECT pg_notify(%(channel)s, %(note)s) FROM written
"""


class LiveWriter:
    """Collects the fragments of an agent's model calls, one call after the other."""

    def __init__(self, run: Run, *, agent_id: str) -> None:
        self._run = run
        self._agent_id = agent_id
        self._text = ""
        self._is_behind = False  # whether there is text that isn't written
        self._written_at = 0.0  # or when the text began
        self._may_be_there = True  # a row: a worker that died may have left one

    def add(self, fragment: str) -> None:
        """Take a fragment; write what there is if the last write, or the first fragment, is long enough ago."""
        if not self._text:
            self._written_at = time.monotonic()
        self._text += fragment
        self._is_behind = True
        self.catch_up()

    def catch_up(self) -> None:
        """Write what was held back, once the last write is long enough ago: called too when the model falls silent."""
        if self._is_behind and time.monotonic() - self._written_at >= _INTERVAL:
            self._write()

    def start_over(self) -> None:
        """Forget the text of a call that failed and is made again."""
        self._text = ""
        self._write()

    def clear(self) -> None:
        """Remove the row, also one that a dead worker left, in the transaction that stores the whole answer."""
        self._text, self._is_behind = "", False
        if (
            self._may_be_there and not self._run.is_final
        ):  # with a run that has ended it is gone: `log.append` sees to it
            log.remove_live_text(self._run)
        self._may_be_there = False

    def _write(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                _WRITE,
                {
                    "run": self._run.pk,
                    "attempt": self._run.attempt,
                    "step": self._run.step,
                    "agent": self._agent_id,
                    "text": redact_text(storable(self._text)),
                    "channel": log.CHANNEL,
                    "note": f"{connection.schema_name}:{self._run.pk}",  # type: ignore[attr-defined]
                },
            )
        self._is_behind, self._may_be_there = False, True
        self._written_at = time.monotonic()
