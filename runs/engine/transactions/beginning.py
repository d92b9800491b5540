"""Taking a claimed run up: who worked on it before, and that work begins or goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from openintern.tenancy.models import Membership, Organization
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope
from runs import budgets
from runs.engine import taint
from runs.engine.transactions import told
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.models import Run
from runs.queue.claims import MAX_LOSSES, Claim
from runs.queue.models import Ticket
from runs.stop import Stop


def count_losses(claim: Claim) -> int:
    """Return how many workers died over the run since it last got on. Commits: the next one may die over its log."""
    if not claim.losses:
        return 0
    step = Run.objects.filter(pk=claim.run_id).values_list("step", flat=True).first()
    losses = claim.losses if step == claim.step_at_claim else 1
    mine = Ticket.objects.filter(pk=claim.ticket_id, attempt=claim.attempt)
    mine.update(losses=losses, step_at_claim=step or 0)
    return losses


@transaction.atomic
def begin(org: Organization, claim: Claim, *, stop: Stop, losses: int) -> Work | None:
    """Raise the fencing number, which shuts out every earlier attempt, and say that work begins or goes on.

    The run is read under the lock under which it is fenced, so nothing that an earlier attempt wrote is missed. The log
    of one that is to be given up for its `losses` isn't read: it may be what kills the workers.
    Returns None for a run that has ended or is gone.
    """
    run = (
        Run.objects.select_for_update(of=("self",))
        .select_related("session", "user", "project")
        .filter(pk=claim.run_id)
        .first()
    )
    if run is None or run.is_final:
        return None
    work = Work(run=run, scope=scope_of(org, run), stop=stop)
    if losses < MAX_LOSSES:
        work.load()
    else:
        work.known_seq = run.last_seq
    if run.last_seq == 0 or run.step == 0:
        drafts = [Draft(EventType.RUN_STARTED, {"input": run.input, "config": _public_config(work)}, step=0)]
        changes: dict[str, Any] = {"started_at": timezone.now(), "step": 1}
        if tainted := taint.of_beginning(run, earlier_ids=work.earlier_ids):
            drafts.append(replace(tainted.draft(), step=0))
            changes["taint"] = tainted.payload()
        first = work.program.opening(run)
        drafts += [] if work.turn.is_vacant else told.opening(run, first, step=1)
    else:
        unsettled = run.effects.exclude(status__in=("done", "awaited")).count()
        payload = {
            "checkpoint_step_id": f"step_{run.step - 1:04d}",
            "orphaned_tool_calls": unsettled,
            "losses": losses,
        }
        drafts, changes, first = [Draft(EventType.RUN_RESUMED, payload)], {}, ()
    work.record(*drafts, takes_over=claim.attempt, status=Run.Status.RUNNING, **changes)
    if claim.attempt > 1:
        budgets.release(run)
    return work.next_turn() if first else work


def scope_of(org: Organization, run: Run) -> Scope:
    """Return in whose name the run acts. Somebody who has left keeps a name, but no rights (see `limits`)."""
    membership = Membership.objects.filter(organization=org, user=run.user, user__is_active=True).first()
    return Scope(
        org=org,
        user=run.user,
        role=Role(membership.role) if membership else Role.VIEWER,
        project=run.project,
        via="run",
    )


def _public_config(work: Work) -> dict[str, Any]:
    run = work.run
    model = run.config["model"]
    return {
        "role": run.config.get("role"),
        "provider": model["provider"],
        "model": model["model"],
        "max_steps": run.config["max_steps"],
        "timeout_ms": run.config["timeout_ms"],
        **work.program.told(run),
    }
