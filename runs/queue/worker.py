"""What a worker process does when it is woken: claim, work, claim again, until there is nothing left to claim."""

from __future__ import annotations

import os
import socket
import time
from functools import cache

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope, public_scope
from runs.engine.loop import Hold, execute, give_up
from runs.models import Run
from runs.queue import claims, life, tickets
from runs.queue.claims import Claim
from runs.queue.processes import Flag
from runs.queue.pulse import Held, Pulse
from runs.stop import Stop

logger = structlog.get_logger(__name__)

#: Set by `qcluster` before it forks: tells every worker of the cluster to finish and claim no more.
shutdown: Flag | None = None


def work_off() -> int:
    """Work on claimable runs until there are none; return how many were worked on. Called by django-q2."""
    worked = 0
    try:
        while not (shutdown is not None and shutdown.is_set()) and work_once(_pulse()):
            worked += 1
    except (OperationalError, InterfaceError) as error:
        logger.warning("database lost", error=str(error))
        connection.close()
    return worked


def work_once(pulse: Pulse) -> bool:
    """Claim one run and work on it; False if there was none to claim."""
    with public_scope():
        claim = claims.claim(pulse.owner)
        if claim is None:
            return False
        org = Organization.objects.get(pk=claim.organization_id)
    with structlog.contextvars.bound_contextvars(run=claim.run_id, attempt=claim.attempt):
        _work(claim, org, pulse)
    return True


def _work(claim: Claim, org: Organization, pulse: Pulse) -> None:
    """Hold the lease for as long as the engine works. Where the database stays lost, the lease runs out by itself."""
    stop = Stop()
    with org_scope(org):
        pulse.hold(Held(claim, org.schema_name, stop, deadline=_deadline(claim), renewed_at=time.monotonic()))
        try:
            execute(org, claim, Hold(stop, pulse.is_draining))
        except (OperationalError, InterfaceError) as error:
            logger.warning("database lost; whoever claims the run next goes on from the last commit", error=str(error))
            connection.close()
            tickets.abandon(claim.ticket_id, attempt=claim.attempt)
            return
        except Exception:  # the outermost edge of a run: a bug ends this run, not the worker
            logger.exception("run failed with a bug")
            give_up(org, claim)
        finally:
            pulse.let_go()
        _clean_up(claim)


def _clean_up(claim: Claim) -> None:
    """Remove the ticket of a run that was cancelled, or deleted, while this worker held it."""
    if not Run.objects.unfinished().filter(pk=claim.run_id).exists():
        tickets.let_go(claim.ticket_id, attempt=claim.attempt)


#: Written out, and not composed by Django: it lies between every claim and the run's first event.
_REMAINING_MS = "SELECT (config ->> 'timeout_ms')::bigint - active_ms FROM runs_run WHERE id = %s"


def _deadline(claim: Claim) -> float:
    """When the run has used up its time: only time that a worker spent on it counts."""
    with connection.cursor() as cursor:
        cursor.execute(_REMAINING_MS, [claim.run_id])
        row = cursor.fetchone()
    return time.monotonic() + max(0, row[0] if row else 0) / 1000


def bury(pid: int) -> None:
    """Let others have the run of a worker of this cluster that has died: nobody else can know so soon that it has.

    Where the database is away, the lease runs out by itself.
    """
    try:
        tickets.abandon_all_of(owner_of(pid))
    except DatabaseError as error:
        logger.warning("a dead worker's lease can't be ended", pid=pid, error=str(error))
    finally:
        connection.close()  # whoever is forked next mustn't share it


def owner_of(pid: int) -> str:
    """Return the name under which a worker process of this cluster holds leases: no other cluster has it."""
    return f"{socket.gethostname()}:{pid}:{life.CLUSTER.hex[:12]}"


@cache
def _pulse_of(pid: int) -> Pulse:
    return Pulse(owner=owner_of(pid), shutdown=shutdown)


def _pulse() -> Pulse:
    """Return this process's pulse; a fork gets its own."""
    return _pulse_of(os.getpid())
