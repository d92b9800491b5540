"""When a schedule is due: cron expressions in a time zone. Nothing else knows the library that reads them.

Five fields as in Debian's cron. Where the clocks go forward, what falls into the hour that isn't there is due right after
it; where they go back, what is due at a given time is due once, and what is due every so many minutes goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from openintern.errors import Invalid

LONGEST: Final = 100
#: How many missed times are counted: of a schedule for every minute, about a week's.
MOST_COUNTED: Final = 10_000


def check(expression: str) -> str:
    """Return a cron expression with single blanks. Raises VALIDATION_ERROR for what is none, or is never due."""
    fields = expression.split()
    if len(fields) != 5 or len(expression) > LONGEST or not expression.isascii():
        raise Invalid("cron", "Must be five fields: minute, hour, day of the month, month, day of the week")
    tidy = " ".join(fields)
    try:
        due = next(CronSim(tidy, datetime.now(UTC)), None)
    except CronSimError as error:
        raise Invalid("cron", f"Not a cron expression: {error}") from error
    if due is None:
        raise Invalid("cron", "Is never due")
    return tidy


def check_zone(name: str) -> str:
    """Return the name of a time zone. Raises VALIDATION_ERROR for one that isn't known."""
    if name not in zones():
        raise Invalid("time_zone", "Must be a time zone such as Europe/Berlin or Asia/Shanghai")
    return name


@cache
def zones() -> tuple[str, ...]:
    """Return the names of all time zones, by the alphabet."""
    return tuple(sorted(available_timezones()))


def due_times(expression: str, zone: str, *, after: datetime) -> Iterator[datetime]:
    """Yield the moments (UTC) at which a valid expression is due, all of them later than `after`."""
    last = after
    for due in CronSim(expression, after.astimezone(ZoneInfo(zone))):
        at = due.astimezone(UTC)
        if at > last:
            yield (last := at)


def next_due(expression: str, zone: str, *, after: datetime) -> datetime | None:
    """Return the next moment at which it is due; None if that is never again."""
    return next(due_times(expression, zone, after=after), None)


def next_five(expression: str, zone: str, *, after: datetime) -> list[datetime]:
    """Return the next five moments, as the clocks of the zone show them."""
    return [at.astimezone(ZoneInfo(zone)) for at in islice(due_times(expression, zone, after=after), 5)]


def missed(expression: str, zone: str, *, after: datetime, until: datetime) -> int:
    """Count the moments after `after` up to `until`, MOST_COUNTED at most."""
    count = 0
    for at in islice(due_times(expression, zone, after=after), MOST_COUNTED):
        if at > until:
            break
        count += 1
    return count
