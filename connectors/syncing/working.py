"""The work: claim a sync, do a slice of it, hand it back. Whoever goes on finds everything in the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models.functions import Now

from connectors.feishu.answers import Busy, Denied
from connectors.feishu.asking import Asker, asker
from connectors.models import Connector, Listing, SyncJob
from connectors.models.sync import COUNTS
from connectors.syncing import discovering, fetching, leases, removing
from connectors.syncing.leases import Hold, Lost, Stopped
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, organizations_where
from runs.outbox import emitting

logger = structlog.get_logger(__name__)

#: How long one sync is worked on before another one has its turn.
SLICE_SECONDS: Final = 10.0
#: What webhooks can be told of.
COMPLETED: Final = "connector.sync.completed"
FAILED: Final = "connector.sync.failed"
_AT_EASE: Final = lambda: False  # noqa: E731


def work_round(orgs: Sequence[Organization], is_stopping: Callable[[], bool] = _AT_EASE) -> int:
    """Work a slice in each organisation; return how many there were to work."""
    return in_each(
        orgs, lambda _: not is_stopping() and work_next(is_stopping=is_stopping) is not None, doing="syncing"
    )


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a sync waits to be worked on."""
    return organizations_where(
        table="connectors_syncjob",
        condition="status IN ('pending', 'running') AND available_at <= clock_timestamp()",
        values={},
    )


def work_next(*, job_id: str = "", is_stopping: Callable[[], bool] = _AT_EASE) -> SyncJob | None:
    """Work a slice of the sync that waits longest, or of the one named; None if there is none to be had."""
    job = leases.claim(job_id)
    if job is not None:
        hold = Hold(job, is_stopping)
        try:
            _slice(hold)
        except Lost:
            logger.info("a sync was taken from its worker", job=job.pk)
        except Stopped:
            hold.hand_back()
        except Busy as busy:
            hold.wait(seconds=busy.after, note=str(busy))
        except Denied as denied:
            fail(hold, code=denied.code, message=str(denied))
    return job


def _slice(hold: Hold) -> None:
    if hold.job.tries > leases.MOST_TRIES:
        fail(hold, code="GIVEN_UP", message=hold.job.note or "It was interrupted too often without getting on")
        return
    ends_at = time.monotonic() + SLICE_SECONDS
    if hold.job.attempt == 1:
        discovering.begin(hold)
    with asker(hold.connector, before_each=hold.keep) as asking:
        while time.monotonic() < ends_at:
            if not _step(hold, asking):
                return
    hold.hand_back()


def _step(hold: Hold, asking: Asker) -> bool:
    """Do the next small thing; return whether there may be more."""
    phase = SyncJob.objects.values_list("phase", flat=True).get(pk=hold.job.pk)
    match phase:
        case SyncJob.Phase.LISTING:
            if not discovering.discover(hold, asking):
                fetching.pass_over_unchanged(hold)
        case SyncJob.Phase.READING:
            if not fetching.fetch(hold, asking):
                hold.get_on(phase=SyncJob.Phase.REMOVING)
        case _:
            if not removing.remove(hold):
                complete(hold)
                return False
    return True


@transaction.atomic
def complete(hold: Hold) -> None:
    """End a sync that went through; what failed in it is told beside its sources."""
    hold.lock()
    hold.end(status=SyncJob.Status.COMPLETED)
    told = SyncJob.objects.get(pk=hold.job.pk)
    error = f"{told.failed} sources or lists can't be read" if told.failed else ""
    _clear_away(hold)
    _note(hold, last_success_at=Now(), last_error=error)
    _tell(COMPLETED, told)


@transaction.atomic
def fail(hold: Hold, *, code: str, message: str) -> None:
    """End a sync that can't go on. What was read stays; the next one goes on from there."""
    hold.lock()
    hold.end(status=SyncJob.Status.FAILED, error_code=code[:40], error_message=message[:500])
    _clear_away(hold)
    _note(hold, last_error=message[:500])
    _tell(FAILED, SyncJob.objects.get(pk=hold.job.pk))


def _tell(type: str, job: SyncJob) -> None:
    """Let webhooks hear how a sync ended, with its end."""
    counts = {name: getattr(job, name) for name in COUNTS}
    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    emitting.emit(type, {"connector_id": job.connector_id, "job_id": job.pk, "counts": counts, "error": error})


def _clear_away(hold: Hold) -> None:
    """Lists were for this sync alone; those that couldn't be had are kept to be shown until the next one ends."""
    Listing.objects.filter(job__connector=hold.connector).exclude(job=hold.job).delete()
    Listing.objects.filter(job=hold.job, problem="").delete()


def _note(hold: Hold, **changes: object) -> None:
    pause = timedelta(seconds=int(hold.connector.config.get("poll_interval_seconds", 300)))
    Connector.objects.filter(pk=hold.connector.pk).update(last_sync_at=Now(), polls_at=Now() + pause, **changes)
