"""Ending a run before its time, whoever asked for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from runs import budgets, log
from runs.events import Draft, EventType
from runs.models import Approval, Run
from runs.queue import tickets


def cancel(scope: Scope, run: Run, *, at: datetime, why: str = "", **changes: Any) -> None:
    """End an unfinished, locked run now, in the caller's transaction.

    Raising its attempt makes sure that nothing of a worker's can land any more.
    """
    payload = {"cancelled_by": scope.user.username, "was": run.status} | ({"reason": why} if why else {})
    log.append(
        run,
        Draft(EventType.RUN_CANCELLED, payload),
        status=Run.Status.CANCELLED,
        attempt=run.attempt + 1,
        ended_at=at,
        **changes,
    )
    Approval.objects.withdraw(run)
    budgets.release(run)
    tickets.withdraw(run)
    audit.record_for(scope, "run.cancel", object_id=run.pk, **({"reason": why} if why else {}))
