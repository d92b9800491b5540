"""From a due time to one run: whoever looks at the clock, and however often.

What a due time comes to commits at once: the firing's row (unique for its schedule and time), the run with its ticket, and
the next due time. A second scheduler finds the row locked or done, a crash leaves nothing, a restart finds what is due.
What was missed while nobody looked is made up for by one firing, which says how much there was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from django.db import transaction
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import Membership, Organization
from openintern.tenancy.policy import allows
from openintern.tenancy.roles import Role
from openintern.tenancy.rounds import in_each, organizations_where
from openintern.tenancy.scope import Scope
from runs.lifecycle import create_run
from runs.models import Firing, Run, Schedule
from runs.scheduling import cron
from runs.scheduling.keeping import zone_of

logger = structlog.get_logger(__name__)

VIA: Final = "schedule"
#: How many of a schedule's firings are kept.
KEPT: Final = 100


def fire_all() -> int:
    """Fire what is due in every organisation; called every minute by django-q2. Returns how many due times were met."""
    due = organizations_where(table="runs_schedule", condition="next_at <= clock_timestamp()", values={})
    return in_each(due, lambda org: fire_due(org, at=timezone.now()), doing="firing schedules")


def fire_due(org: Organization, *, at: datetime) -> int:
    """Fire what is due at `at` in the organisation that one is in; one schedule's trouble is not the others'."""
    fired = 0
    for schedule_id in list(Schedule.objects.filter(next_at__lte=at).order_by("next_at").values_list("pk", flat=True)):
        try:
            fired += fire(org, schedule_id, at=at) is not None
        except OpenInternError as error:  # too many tasks at the moment: the next look tries again
            logger.warning("a schedule has to wait: %s", error.message, schedule=schedule_id)
    return fired


@transaction.atomic
def fire(org: Organization, schedule_id: str, *, at: datetime) -> Firing | None:
    """Meet a schedule's due time; None if it isn't due (any more), or somebody else is at it, or it had to be paused.

    Raises THROTTLED, with nothing written, where the organisation starts too many runs at the moment.
    """
    schedule = (
        Schedule.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("user", "project")
        .filter(pk=schedule_id, next_at__lte=at)
        .first()
    )
    if schedule is None or schedule.next_at is None:
        return None
    scope = scope_of(schedule, org)
    if scope is None:
        _pause(schedule, Schedule.Paused.NO_RIGHTS, org=org)
        return None
    missed = cron.missed(schedule.cron, zone_of(schedule, org), after=schedule.next_at, until=at)
    firing = Firing(schedule=schedule, due_at=schedule.next_at, missed=missed)
    _start(scope, schedule, firing, at=at)
    firing.save(force_insert=True)
    _move_on(schedule, org=org, at=at)
    _forget_old(schedule)
    return firing


def scope_of(schedule: Schedule, org: Organization) -> Scope | None:
    """Return in whose name its runs are started, with the rights of now; None if they may start none (any more)."""
    membership = Membership.objects.filter(organization=org, user=schedule.user, user__is_active=True).first()
    if membership is None or not allows(Role(membership.role), "run", "create"):
        return None
    scope = Scope(org=org, user=schedule.user, role=Role(membership.role), project=schedule.project, via=VIA)
    is_in = schedule.project is None or membership.projects.filter(pk=schedule.project.pk).exists()
    return scope if is_in or scope.sees_everything else None


def _start(scope: Scope, schedule: Schedule, firing: Firing, *, at: datetime) -> None:
    """Start the run, or say why there is none."""
    before = Firing.objects.filter(schedule=schedule).exclude(run_id="").order_by("-due_at").first()
    if before is not None and Run.objects.filter(pk=before.run_id).unfinished().exists():
        firing.outcome = Firing.Outcome.SKIPPED
        return
    try:
        run = create_run(
            scope,
            text=schedule.input,
            at=at,
            session_key=schedule.session_key,
            role_id=schedule.role_id,
            group_id=schedule.group_id,
            llm_config=schedule.llm_config or None,
        )
    except OpenInternError as refusal:
        if refusal.code == "THROTTLED":
            raise
        firing.outcome = Firing.Outcome.REFUSED
        firing.problem = {"code": refusal.code, "message": refusal.message}
        return
    firing.outcome, firing.run_id = Firing.Outcome.STARTED, run.pk


def _move_on(schedule: Schedule, *, org: Organization, at: datetime) -> None:
    schedule.next_at = cron.next_due(schedule.cron, zone_of(schedule, org), after=at)
    if schedule.next_at is None:
        _pause(schedule, Schedule.Paused.OVER, org=org)
        return
    schedule.save(update_fields=["next_at"])


def _pause(schedule: Schedule, why: Schedule.Paused, *, org: Organization) -> None:
    schedule.paused, schedule.next_at = why, None
    schedule.save(update_fields=["paused", "next_at"])
    details = {"reason": why.value}
    audit.record("schedule.pause", org=org, actor=schedule.user, via=VIA, object_id=schedule.pk, details=details)


def _forget_old(schedule: Schedule) -> None:
    oldest = (
        Firing.objects.filter(schedule=schedule).order_by("-due_at").values_list("due_at", flat=True)[KEPT - 1 : KEPT]
    )
    if found := oldest.first():
        Firing.objects.filter(schedule=schedule, due_at__lt=found).delete()
