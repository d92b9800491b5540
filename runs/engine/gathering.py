"""Agents that work beside each other, each in a run of its own, and the run that waits for them (`runs.programs.Scatter`).

The parts begin in the transaction with which the run begins to wait, so that there is never one without the other. Each
that ends is written into the run's log (`runs.family.arrive`); when the program says that it is enough, a worker takes
the run up, and what isn't needed any more ends in the transaction with which the next turn begins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from openintern.tenancy import audit
from runs import family
from runs.ending import end_children
from runs.engine import transactions
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.family import DELEGATION, MEMBER_RUN
from runs.models import Run
from runs.programs import Part, Scatter
from runs.queue import tickets

WAITING_FOR: Final = "members"


def gather(work: Work) -> Work | None:
    """Begin what the program wants begun, or go on with what came of it; None if the run waits, or has ended."""
    run = work.run
    with transaction.atomic():
        work.catch_up()
        run.refresh_from_db(fields=["taint"])  # a part may have brought text from outside in
        match work.program.gather(run):
            case Scatter(parts=parts):
                _wait(work, *[_begin(work, part) for part in parts])
                return None
            case None:
                _wait(work)
                return None
            case move:
                end_children(work.scope, run, at=timezone.now())
                return transactions.move_on(work, move)


def _begin(work: Work, part: Part) -> Draft:
    run = work.run
    child = Run.objects.create(
        session=run.session,
        user=run.user,
        project=run.project,
        parent=run,
        agent_id=part.agent_id,
        group_id=run.group_id,
        input=run.input,
        config={**part.config, DELEGATION: _delegation(run), "history": []},
    )
    tickets.enqueue(child)
    audit.record_for(work.scope, "run.create", object_id=child.pk)
    return replace(part.begun, payload={**part.begun.payload, "runId": child.pk})


def _delegation(run: Run) -> dict[str, Any]:
    return {
        "tool_call_id": "",
        "by": run.agent_id,
        "root": family.root_id(run),
        "depth": family.depth(run) + 1,
        "is_tainted": run.taint is not None,
        "is_part": True,
    }


def _wait(work: Work, *begun: Draft) -> None:
    """Write that the run waits for its parts, those that begin with it and those under way."""
    run = work.run
    under_way = Run.objects.unfinished().filter(parent=run).order_by("created_at", "pk").values_list("pk", flat=True)
    payload = {
        "reason": WAITING_FOR,
        "message": "The members work beside each other",
        "tool_call_id": "",
        "awaits": [{"tool_call_id": "", "kind": MEMBER_RUN, "reference": run_id} for run_id in under_way],
    }
    waiting = Draft(EventType.RUN_WAITING, payload)
    work.record(*begun, waiting, status=Run.Status.WAITING, active_ms=work.active_ms())
    tickets.park(run)
