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


@dataclass(frozen=True)
class Finding:
    """What a check found. `report` is for machines; `summary` and `remedy` are sentences for a person."""

    ok: bool
    report: Report
    summary: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One question. `essential`: without it no run can be carried out, so `/health` says 503.
    `public`: shown in `/health`. `fix`: what `doctor --fix` may do about it."""

    name: str
    look: Callable[[], Finding]
    essential: bool
    public: bool
    fix: Callable[[], None] | None
    order: int


_checks: dict[str, Check] = {}


def check(
    name: str,
    *,
    essential: bool = False,
    public: bool = True,
    fix: Callable[[], None] | None = None,
    order: int = 50,
) -> Callable[[Callable[[], Finding]], Callable[[], Finding]]:
    """Register a function as the check `name`; lower `order` is looked at first."""

    def register(look: Callable[[], Finding]) -> Callable[[], Finding]:
        _checks[name] = Check(name, look, essential, public, fix, order)
        return look

    return register


def checks() -> list[Check]:
    """Return every registered check, in the order to look at them."""
    return sorted(_checks.values(), key=lambda one: (one.order, one.name))


def examine(chosen: Iterable[Check] | None = None) -> dict[str, tuple[Check, Finding]]:
    """Make the checks. One that fails to answer is broken, and the others are still made."""
    return {one.name: (one, _look(one)) for one in (checks() if chosen is None else chosen)}


def _look(one: Check) -> Finding:
    try:
        return one.look()
    except Exception as error:  # the outermost edge: whatever is wrong is what the check is for
        logger.warning("health check %s failed: %s", one.name, error)
        return Finding(False, "unavailable", f"could not be checked: {_first_line(error)}", "Look at the checks above it.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@public
@never_cache
@require_safe
def report(request: HttpRequest) -> JsonResponse:
    """200 when runs can be accepted and carried out; else 503, with `missing` naming what isn't there."""
    findings = examine(one for one in checks() if one.public)
    missing = [name for name, (one, finding) in findings.items() if one.essential and not finding.ok]
    body = {
        "status": "unavailable" if missing else "ok",
        "timestamp": timezone.now().isoformat(),
        **{name: finding.report for name, (_, finding) in findings.items()},
    }
    if missing:
        body["missing"] = missing
    return JsonResponse(body, status=503 if missing else 200)
