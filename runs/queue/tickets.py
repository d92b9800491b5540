"""What happens to a ticket between its run's acceptance and its end, apart from being claimed.

Each function is one statement in the caller's transaction: the ticket changes with the run or not at all.
The run's organisation is the one whose schema is entered.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import cast

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from openintern.tenancy.models import Organization
from runs.log import notify
from runs.models import Run
from runs.queue.models import Ticket

#: `NOTIFY` channel: there may be work.
WORK = "openintern_queue"
#: `NOTIFY` channel: stop working on this run.
STOP = "openintern_stop"

#: These are part of every run, and written out: composing them takes Django longer than PostgreSQL takes to do them.
_TURN = "INSERT INTO queue_turn (organization_id) VALUES (%s) ON CONFLICT DO NOTHING"
_TICKET = """
    INSERT INTO queue_ticket (organization_id, session_id, run_id, model, attempt, losses, step_at_claim, leased_by)
    VALUES (%s, %s, %s, %s, %s, 0, 0, '')
"""
_CLOSE = "DELETE FROM queue_ticket WHERE organization_id = %s AND run_id = %s"


def enqueue(run: Run) -> None:
    """Give a new run its ticket, at the end of its lane."""
    told = [_org().pk, _lane_of(run), run.pk, run.config["model"]["model"][:200], run.attempt]
    with connection.cursor() as cursor:
        cursor.execute(_TURN, [_org().pk])
        cursor.execute(_TICKET, told)
    notify(WORK, run.pk)


def let_go(ticket_id: int, *, attempt: int) -> None:
    """Remove the ticket of a run that ended while its worker was still at it. Works in any scope."""
    if Ticket.objects.filter(pk=ticket_id, attempt=attempt).delete()[0]:
        notify(WORK, str(ticket_id))


def close(run: Run) -> None:
    """Remove the ticket of a run that has ended, which lets the next one of its lane go on."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, [_org().pk, run.pk])
    notify(WORK, run.pk)


def park(run: Run, *, until: datetime | None = None) -> None:
    """Take a waiting run off the workers, `until` then at most. It keeps its place in the lane."""
    _of(run).update(available_at=until, leased_by="", lease_expires_at=None)


def release(run: Run) -> None:
    """Hand a run back: any worker may claim it at once. Does nothing if another holds it by now."""
    _of(run).filter(attempt=run.attempt).update(available_at=Now(), leased_by="", lease_expires_at=None)
    notify(WORK, run.pk)


def abandon(ticket_id: int, *, attempt: int) -> None:
    """End a lease before its time, counted as a loss: its holder can't tell what has been written. Works in any scope."""
    Ticket.objects.filter(pk=ticket_id, attempt=attempt, lease_expires_at__gt=Now()).update(lease_expires_at=Now())
    notify(WORK, str(ticket_id))


def abandon_all_of(owner: str) -> None:
    """End the leases of a worker that has died, each counted as a loss. Works in any scope."""
    if Ticket.objects.filter(leased_by=owner, lease_expires_at__gt=Now()).update(lease_expires_at=Now()):
        notify(WORK, owner)


def requeue(run: Run) -> None:
    """Make sure an unfinished run can be claimed: give back its ticket, or what was lost of it."""
    if _of(run).update(available_at=Now(), leased_by="", lease_expires_at=None, losses=0):
        notify(WORK, run.pk)
    else:
        enqueue(run)


def withdraw(run: Run) -> None:
    """End the work on a cancelled run.

    A ticket that a living worker holds stays until that worker lets go (or its lease expires), so that the next
    run of the lane doesn't start beside it.
    """
    _of(run).filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())).delete()
    notify(STOP, run.pk)
    notify(WORK, run.pk)


def _lane_of(run: Run) -> int:
    """The lane of a run: its session's. One that comes from another has its own, or it would stand behind its parent."""
    if run.parent_id is None:
        return int(run.session_id)
    return -1 - int.from_bytes(hashlib.sha256(run.pk.encode()).digest()[:7])


def _of(run: Run) -> QuerySet[Ticket]:
    return Ticket.objects.filter(organization=_org(), run_id=run.pk)


def _org() -> Organization:
    return cast("Organization", connection.tenant)  # type: ignore[attr-defined]
