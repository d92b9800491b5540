"""Is this installation fit to work? Asked by `/health` (machines) and by `doctor` (people).

Checks are registered with `@check(...)`, also by the apps above this one. What a public check
reports is seen by anybody who can reach `/health`: numbers and states, never names or secrets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from openintern.tenancy.access import public

logger = logging.getLogger(__name__)

Report = dict[str, Any] | str | int
Look = Callable[[], "Finding"]

DATABASE = "database"


@dataclass(frozen=True)
class Finding:
    """What a check found. `report` is for machines; `summary` and `remedy` are sentences for a person."""

    ok: bool
    report: Report
    summary: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One question.

    `essential`: without it no run can be carried out, so `/health` says 503. `public`: shown in `/health`.
    `fix`: what `doctor --fix` does about it. `needs_database`: not worth asking while the database is away.
    """

    name: str
    look: Look
    essential: bool
    public: bool
    needs_database: bool
    fix: Callable[[], object] | None
    order: int


_checks: dict[str, Check] = {}


def check(
    name: str,
    *,
    essential: bool = False,
    public: bool = True,
    needs_database: bool = True,
    fix: Callable[[], object] | None = None,
    order: int = 50,
) -> Callable[[Look], Look]:
    """Register a function as the check `name`; lower `order` is looked at first."""

    def register(look: Look) -> Look:
        _checks[name] = Check(name, look, essential, public, needs_database, fix, order)
        return look

    return register


def examine(chosen: Iterable[Check] | None = None) -> dict[str, tuple[Check, Finding]]:
    """Make the checks (all, in their order, if none are named).

    One that fails to answer is broken, and the others are still made.
    """
    results: dict[str, tuple[Check, Finding]] = {}
    for one in sorted(_checks.values() if chosen is None else chosen, key=lambda one: (one.order, one.name)):
        away = DATABASE in results and not results[DATABASE][1].ok
        results[one.name] = (one, _not_asked() if away and one.needs_database else _look(one))
    return results


def repair(broken: Check) -> None:
    """Do what the check knows to do; whether it helped is for the next look to say."""
    if broken.fix is None:
        return
    try:
        broken.fix()
    except Exception as error:  # noqa: BLE001  the outermost edge: the next look tells the person
        logger.warning("repairing %s failed: %s", broken.name, error)


def _look(one: Check) -> Finding:
    try:
        return one.look()
    except Exception as error:  # noqa: BLE001  the outermost edge: whatever is wrong is what the check is for
        logger.warning("health check %s failed: %s", one.name, error)
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        return Finding(False, "unavailable", f"could not be checked: {first_line}")


def _not_asked() -> Finding:
    return Finding(False, "unavailable", "not checked: the database is away")


@public
@never_cache
@require_safe
def report(request: HttpRequest) -> JsonResponse:
    """200 when runs can be accepted and carried out; else 503, with `missing` naming what isn't there."""
    findings = examine(one for one in _checks.values() if one.public)
    missing = [name for name, (one, finding) in findings.items() if one.essential and not finding.ok]
    body: dict[str, Any] = {
        "status": "unavailable" if missing else "ok",
        "timestamp": timezone.now().isoformat(),
        **{name: finding.report for name, (_, finding) in findings.items()},
    }
    if not missing:
        return JsonResponse(body)
    answer = JsonResponse({**body, "missing": missing}, status=503, headers={"Retry-After": "5"})
    answer._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001  asked every second, it would fill the log
    return answer
