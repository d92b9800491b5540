"""A run and those that come from it: what they draw on together, what ends with what, and how a parent hears.

Locks go from a parent to its children and never back: a run that ends ends what it has begun in the same transaction,
and its own parent hears of it in another, after that one has committed. What a crash in between leaves undone, the sweep
finds (`deliver_all`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final

import structlog
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef

from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, organizations_where
from runs import log
from runs.delivery import Delivery, deliver
from runs.events import Draft, EventType
from runs.models import Effect, Run
from runs.programs import program_of
from runs.queue import tickets

logger = structlog.get_logger(__name__)

#: What a run waits for that has given work to another one; also where the child's configuration tells of it.
DELEGATED_RUN: Final = "delegated_run"
DELEGATION: Final = "delegation"
#: What a run waits for whose parts are done by several beside each other.
MEMBER_RUN: Final = "member_run"
#: How many runs may stand above a delegated one.
DEEPEST: Final = 3
#: How many runs a task may come to, the first one included.
LARGEST: Final = 40

_FAMILY: Final = """
    WITH RECURSIVE family AS (
        SELECT id, prompt_tokens, completion_tokens, cost FROM runs_run WHERE id = %s
        UNION ALL
        SELECT run.id, run.prompt_tokens, run.completion_tokens, run.cost
        FROM runs_run AS run JOIN family ON run.parent_id = family.id
    )
    SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0), coalesce(sum(cost), 0) FROM family
"""


@dataclass(frozen=True)
class Family:
    """How many runs came of a task, and what they have used together."""

    runs: int
    tokens: int
    cost: Decimal


def family_of(run: Run) -> Family:
    """Return what the task that `run` belongs to has come to, from its first run down."""
    with connection.cursor() as cursor:
        cursor.execute(_FAMILY, [root_id(run)])
        runs, tokens, cost = cursor.fetchone()
    return Family(runs, int(tokens), cost)


def root_id(run: Run) -> str:
    """Return the run that a person gave the task to."""
    return str((run.config.get(DELEGATION) or {}).get("root", run.pk))


def depth(run: Run) -> int:
    """Return how many runs stand above it."""
    return int((run.config.get(DELEGATION) or {}).get("depth", 0))


def unfinished_children(run: Run) -> list[Run]:
    """Return the children of an ended, locked run that have not ended, locked."""
    children = Run.objects.unfinished().filter(parent=run).select_related("session").order_by("pk")
    return list(children.select_for_update(of=("self",)))


def children_awaited_by(effects: Iterable[Effect]) -> list[Run]:
    """Return the unfinished runs, locked, that calls waited for."""
    ids = [effect.awaits_reference for effect in effects if effect.awaits_kind == DELEGATED_RUN]
    if not ids:
        return []
    children = Run.objects.unfinished().filter(pk__in=ids).select_related("session").order_by("pk")
    return list(children.select_for_update(of=("self",)))


def tell_parent(run: Run) -> None:
    """Have the parent of a run that ends hear of it, once that is committed."""
    if run.parent_id is not None:
        transaction.on_commit(partial(deliver_end, run.pk), robust=True)


def deliver_end(run_id: str) -> bool:
    """Give a run that has ended to the call that waits for it; False if none does (any more). May be repeated."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None or not run.is_final or run.parent_id is None:
        return False
    told = run.config.get(DELEGATION) or {}
    if told.get("is_part"):
        return arrive(run)
    return deliver(run.parent_id, told.get("tool_call_id", ""), _delivery(run))


@transaction.atomic
def arrive(part: Run) -> bool:
    """Write what a part that has ended came to into the log of the run that waits for it; False if none does (any more).

    May be repeated, and called by several at once. Wakes the run once the program has something to go on with.
    """
    rows = Run.objects.unfinished().select_for_update(of=("self",)).select_related("session", "user", "project")
    run = rows.filter(pk=part.parent_id).first()
    program = program_of(run) if run else None
    drafts = program.arrival(run, part) if run and program else ()
    if run is None or program is None or not drafts:
        return False
    changes: dict[str, Any] = {}
    if part.taint is not None and run.taint is None:
        changes["taint"] = {"source": "run", "about": part.pk}
        drafts = (Draft(EventType.RUN_TAINTED, changes["taint"]), *drafts)
    log.append(run, *drafts, **changes)
    if run.status == Run.Status.WAITING and program.gather(run) is not None:
        log.append(run, status=Run.Status.PENDING)
        tickets.requeue(run)
    return True


def deliver_all() -> int:
    """Deliver what a crash kept from being delivered, in every organisation; called every minute. Returns how many were."""
    return in_each(_with_waiting(), lambda _: deliver_missing(), doing="delivering the ends of runs")


def deliver_missing() -> int:
    """Deliver the ends that calls of the current organisation still wait for; return how many landed."""
    waits = Effect.objects.filter(awaits_kind=DELEGATED_RUN, status=Effect.Status.AWAITED)
    # what a run that has ended waited for, or a turn that was given up, nobody hears: it must not stand before the others
    waiting = waits.filter(run__status__in=Run.Status.unfinished(), step=F("run__step"))
    running = Run.objects.unfinished().filter(pk=OuterRef("awaits_reference"))
    landed = 0
    for effect in waiting.filter(~Exists(running)).order_by("pk")[:1000]:
        reference = str(effect.awaits_reference)
        if Run.objects.filter(pk=reference).exists():
            landed += deliver_end(reference)
        else:
            gone = Delivery(
                kind=DELEGATED_RUN, reference=reference, error="The delegated run was deleted", code="DELEGATION_GONE"
            )
            landed += deliver(effect.run_id, effect.tool_call_id, gone)
    parts = Run.objects.filter(parent__status=Run.Status.WAITING, config__delegation__is_part=True)
    ended = parts.exclude(status__in=Run.Status.unfinished()).order_by("pk")[:1000]
    return landed + sum(arrive(part) for part in ended)


def _with_waiting() -> list[Organization]:
    """Return the organisations in which a run waits, for whatever it may be."""
    return organizations_where(table="runs_run", condition="status = 'waiting'", values={})


def _delivery(run: Run) -> Delivery:
    about: dict[str, Any] = {"status": run.status}
    common: dict[str, Any] = {
        "kind": DELEGATED_RUN,
        "reference": run.pk,
        "is_tainted": run.taint is not None,
        "about": about,
    }
    match run.status:
        case Run.Status.COMPLETED:
            return Delivery(**common, value=result_of(run))
        case Run.Status.CANCELLED:
            return Delivery(**common, error=f"The delegated run {run.pk} was cancelled", code="DELEGATION_CANCELLED")
    error = run.error or {}
    message = f"The delegated run {run.pk} failed: {error.get('message', '')} ({error.get('code', '')})"
    return Delivery(**common, error=message, code="DELEGATION_FAILED")


def result_of(run: Run) -> dict[str, Any]:
    """Return what a completed run comes to for whoever gave it the work."""
    return {"run_id": run.pk, "status": run.status, "output": run.output or ""}
