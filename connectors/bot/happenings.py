"""What happens to a run that the person who gave the task should hear of before its end: it, or one that it began, asks.

What a card asks in the thread needs no words beside it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import connection

from runs.models import Run

_FAMILY: Final = """
    WITH RECURSIVE family AS (
        SELECT {run}::varchar AS id UNION ALL SELECT child.id FROM runs_run AS child JOIN family ON child.parent_id = family.id
    ), asked AS (
        SELECT approval.created_at AS at FROM family JOIN runs_approval AS approval ON approval.run_id = family.id
        WHERE approval.status = 'pending' AND NOT EXISTS (
            SELECT FROM connectors_approvalcard AS card
            WHERE card.approval_id = approval.id AND card.answers <> '' AND card.state <> 'failed')
        UNION ALL
        SELECT event.at FROM family JOIN runs_event AS event ON event.run_id = family.id
        WHERE event.type = 'run.waiting'
          AND EXISTS (SELECT FROM runs_effect AS effect WHERE effect.run_id = family.id AND effect.status = 'in_doubt')
    )
"""
#: A condition on a `message` and its `run`, which waits: whether there is a question of which it wasn't told yet.
ASKS_SINCE: Final = f"EXISTS ({_FAMILY.format(run='run.id')} SELECT FROM asked WHERE asked.at > message.told_at)"


def latest_question(run: Run) -> datetime | None:
    """Return when the latest of the questions came up that wait for a person; None where none waits."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_FAMILY.format(run='%s')} SELECT max(at) FROM asked", [run.pk])  # noqa: S608  ours
        latest: datetime | None = cursor.fetchone()[0]
    return latest
