"""Ending a run before its time, whoever asked for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from runs import budgets, family, log
from runs.engine.outcomes import Fail
from runs.events import Draft, EventType
from runs.models import Approval, Effect, Run
from runs.programs import Ended, program_of
from runs.queue import tickets

#: The code of a member's turn that its run's cancel ended.
CANCELLED: Final = "RUN_CANCELLED"


def cancel(scope: Scope, run: Run, *, at: datetime, why: str = "", **changes: Any) -> None:
    """End an unfinished, locked run now, in the caller's transaction.

    Raising its attempt makes sure that nothing of a worker's can land any more.
    """
    payload = {"cancelled_by": scope.user.username, "was": run.status} | ({"reason": why} if why else {})
    log.append(
        run,
        *program_of(run).cut_short(run, _cancelled(run, at=at)),
        Draft(EventType.RUN_CANCELLED, payload),
        status=Run.Status.CANCELLED,
        attempt=run.attempt + 1,
        ended_at=at,
        **changes,
    )
    Approval.objects.withdraw(run)
    budgets.release(run)
    tickets.withdraw(run)
    end_with(scope, run, at=at)
    audit.record_for(scope, "run.cancel", object_id=run.pk, **({"reason": why} if why else {}))


def _cancelled(run: Run, *, at: datetime) -> Ended:
    """How the turn of whoever is at work ends."""
    return Ended(
        at=at,
        failure=Fail(CANCELLED, "The run was cancelled"),
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        cost=run.cost,
    )


def end_with(scope: Scope, run: Run, *, at: datetime) -> None:
    """End what a run that ends has begun, in the same transaction, and have its parent hear of it after that."""
    end_children(scope, run, at=at)
    family.tell_parent(run)


def end_children(scope: Scope, run: Run, *, at: datetime) -> None:
    """End what a locked run has begun and doesn't need any more."""
    for child in family.unfinished_children(run):
        cancel(scope, child, at=at, why="parent_ended" if run.is_final else "not_needed")


def end_overdue(scope: Scope, overdue: Iterable[Effect], *, at: datetime) -> None:
    """End the runs that calls have waited for too long. The run of the calls is locked."""
    for child in family.children_awaited_by(overdue):
        cancel(scope, child, at=at, why="overdue")
