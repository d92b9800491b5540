"""What people do with schedules. Pages, API and admin all call these.

A task is its owner's: it runs in their name and remembers what is theirs, so nobody else may write it. An admin may pause
somebody's schedule, have it go on, and remove it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.redaction import redact_text
from openintern.tenancy import audit
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from runs.briefs import team_of
from runs.models import SESSION_KEY_PATTERN, Firing, Schedule
from runs.pinning import pin, pin_team
from runs.scheduling import cron
from runs.tools.policy import Lists

MOST: Final = 200
MOST_OF_ONE: Final = 50
LONGEST_TASK: Final = 20_000
#: What a person may say of a schedule, and what it is where nothing is said.
FIELDS: Final[dict[str, Any]] = {
    "name": "", "input": "", "cron": "", "time_zone": "", "role_id": "", "group_id": "", "session_key": "", "llm_config": {},
}  # fmt: skip
_LONGEST: Final = {
    "name": 100,
    "input": LONGEST_TASK,
    "cron": cron.LONGEST,
    "time_zone": 60,
    "role_id": 40,
    "group_id": 40,
}


def schedules(scope: Scope) -> list[Schedule]:
    """Return what is in sight, by name."""
    return list(Schedule.objects.for_scope(scope).select_related("user", "project").order_by("name", "pk")[:MOST])


def find(scope: Scope, schedule_id: str) -> Schedule:
    """Return a schedule, or raise NOT_FOUND for one that isn't there or isn't in sight."""
    rows: Any = Schedule.objects
    found: Schedule | None = rows.for_scope(scope).select_related("user", "project").filter(pk=schedule_id).first()
    if found is None:
        raise NotFound("Schedule")
    return found


@transaction.atomic
def create(scope: Scope, told: Mapping[str, Any], *, at: datetime) -> Schedule:
    """Keep a new schedule of one's own. Raises VALIDATION_ERROR, NOT_FOUND for a role or group that isn't there, CONFLICT for too many."""
    if Schedule.objects.count() >= MOST or Schedule.objects.filter(user=scope.user).count() >= MOST_OF_ONE:
        raise OpenInternError("CONFLICT", f"At most {MOST_OF_ONE} schedules a person, {MOST} an organisation")
    schedule = Schedule(user=scope.user, project=scope.project, **{**FIELDS, **_checked(told)})
    schedule.session_key = schedule.session_key or f"s_{schedule.pk}"
    _check_whole(scope, schedule)
    _set_due(schedule, scope.org, at=at)
    schedule.save(force_insert=True)
    audit.record_for(scope, "schedule.create", object_id=schedule.pk, cron=schedule.cron)
    return schedule


@transaction.atomic
def change(scope: Scope, schedule_id: str, told: Mapping[str, Any], *, at: datetime) -> Schedule:
    """Change what is told of one's own schedule; what comes next is reckoned anew. Raises FORBIDDEN for somebody else's."""
    schedule = _locked(scope, schedule_id)
    if schedule.user_id != scope.user.pk:
        raise OpenInternError("FORBIDDEN", "This task runs in somebody else's name")
    for name, value in _checked(told).items():
        setattr(schedule, name, value)
    schedule.session_key = schedule.session_key or f"s_{schedule.pk}"
    _check_whole(scope, schedule)
    if not schedule.paused:
        _set_due(schedule, scope.org, at=at)
    schedule.save(update_fields=[*FIELDS, "next_at"])
    audit.record_for(scope, "schedule.change", object_id=schedule.pk, fields=sorted(told))
    return schedule


@transaction.atomic
def pause(scope: Scope, schedule_id: str) -> Schedule:
    """Let it rest until somebody has it go on. What is due meanwhile isn't made up for."""
    schedule = _settable(scope, schedule_id)
    schedule.paused, schedule.next_at = Schedule.Paused.BY_HAND, None
    schedule.save(update_fields=["paused", "next_at"])
    audit.record_for(scope, "schedule.pause", object_id=schedule.pk)
    return schedule


@transaction.atomic
def go_on(scope: Scope, schedule_id: str, *, at: datetime) -> Schedule:
    """Have a paused schedule go on with its next due time. Raises VALIDATION_ERROR if there is none."""
    schedule = _settable(scope, schedule_id)
    schedule.paused = Schedule.Paused.NO
    _set_due(schedule, scope.org, at=at)
    schedule.save(update_fields=["paused", "next_at"])
    audit.record_for(scope, "schedule.go_on", object_id=schedule.pk)
    return schedule


@transaction.atomic
def remove(scope: Scope, schedule_id: str) -> None:
    """Remove a schedule; the runs that it started stay."""
    schedule = _settable(scope, schedule_id)
    audit.record_for(scope, "schedule.delete", object_id=schedule.pk)
    schedule.delete()


@transaction.atomic
def set_zone(scope: Scope, zone: str, *, at: datetime) -> None:
    """Set the organisation's time zone; what has none of its own goes by it from now on. Raises VALIDATION_ERROR."""
    scope.org.time_zone = cron.check_zone(zone)
    Organization.objects.filter(pk=scope.org.pk).update(time_zone=zone)
    for schedule in Schedule.objects.select_for_update().filter(time_zone="", next_at__isnull=False).order_by("pk"):
        _set_due(schedule, scope.org, at=at)
        schedule.save(update_fields=["next_at"])
    audit.record_for(scope, "organization.time_zone", object_id=zone)


def zone_of(schedule: Schedule, org: Organization) -> str:
    """Return the time zone by which it goes."""
    return schedule.time_zone or org.time_zone


@dataclass(frozen=True)
class Shown:
    """A schedule as people see it: by which zone it goes, when it is due next, what came of it last."""

    row: Schedule
    zone: str
    next: list[datetime]
    firings: list[Firing]


def shown(scope: Scope, schedules: list[Schedule], *, at: datetime, firings: int = 5) -> list[Shown]:
    """Return each with its next five due times, as the clocks of its zone show them, and its latest firings."""
    latest = _latest(schedules, most=firings)
    return [
        Shown(row, zone := zone_of(row, scope.org), _next_five(row, zone, at=at), latest[row.pk]) for row in schedules
    ]


def _next_five(schedule: Schedule, zone: str, *, at: datetime) -> list[datetime]:
    """What comes; nothing while it is paused."""
    return [] if schedule.next_at is None else cron.next_five(schedule.cron, zone, after=at)


def _latest(schedules: list[Schedule], *, most: int) -> dict[str, list[Firing]]:
    """The latest firings of each, the newest first; one question for all."""
    found: dict[str, list[Firing]] = {schedule.pk: [] for schedule in schedules}
    for firing in Firing.objects.raw(_LATEST, [list(found), most]):
        found[firing.schedule_id].append(firing)
    return found


_LATEST = """
    SELECT firing.* FROM unnest(%s::text[]) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM runs_firing WHERE schedule_id = wanted.id ORDER BY due_at DESC LIMIT %s) AS firing
"""


def _locked(scope: Scope, schedule_id: str) -> Schedule:
    find(scope, schedule_id)
    return Schedule.objects.select_for_update(of=("self",)).select_related("user", "project").get(pk=schedule_id)


def _settable(scope: Scope, schedule_id: str) -> Schedule:
    """The row, locked, of a schedule that one may pause and remove."""
    schedule = _locked(scope, schedule_id)
    if schedule.user_id != scope.user.pk and not scope.sees_everything:
        raise OpenInternError("FORBIDDEN", "This schedule is somebody else's")
    return schedule


def _set_due(schedule: Schedule, org: Organization, *, at: datetime) -> None:
    schedule.next_at = cron.next_due(schedule.cron, zone_of(schedule, org), after=at)
    if schedule.next_at is None:
        raise Invalid("cron", "Is never due")


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were told, each as it is kept. Raises VALIDATION_ERROR, also for what isn't a field."""
    given = {}
    for name, value in told.items():
        if name not in FIELDS:
            raise Invalid(name, "Unknown field")
        if type(value) is not type(FIELDS[name]):
            raise Invalid(name, f"Must be a {type(FIELDS[name]).__name__}")
        if isinstance(value, str) and (not is_storable(value) or len(value) > _LONGEST.get(name, 200)):
            raise Invalid(name, "Too long, or not a text")
        given[name] = value.strip() if isinstance(value, str) and name != "input" else value
    return given


def _check_whole(scope: Scope, schedule: Schedule) -> None:
    """Refuse what no run could be started with."""
    if not schedule.name or not schedule.name.isprintable():
        raise Invalid("name", "Must be a name")
    if not schedule.input.strip():
        raise Invalid("input", "Must not be empty")
    if not re.fullmatch(SESSION_KEY_PATTERN, schedule.session_key):
        raise Invalid("session_key", "Must start with 's_' and go on with letters, digits or '_'")
    schedule.input = redact_text(schedule.input)
    schedule.cron = cron.check(schedule.cron)
    if schedule.time_zone:
        cron.check_zone(schedule.time_zone)
    if schedule.role_id and schedule.group_id:
        raise Invalid("role_id", "A team has the roles of its members")
    if schedule.group_id:
        pin_team(team_of(scope, schedule.group_id), schedule.llm_config or None, delegated=Lists())
    else:
        pin(schedule.role_id, schedule.llm_config or None, delegated=Lists())
