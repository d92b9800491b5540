"""What stays of a run: a memory of what was asked and what came of it, written in the transaction that ends it."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction

from memory.models import Tier, Trust
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.errors import OpenInternError
from openintern.text import shorten
from runs.events import EventType
from runs.models import Event, Run

logger = structlog.get_logger(__name__)

_keepers: list[Callable[[Run], None]] = []

_LONGEST_TASK = 2_000
_LONGEST_ANSWER = 6_000


def remember_run(run: Run) -> None:
    """Remember a completed run for its person, or for its project's people.

    A run must not fail to end because it can't be remembered: what is in the way is logged, and nothing else is undone.
    """
    if not settings.CONFIG.memory.remembers_runs or run.parent_id or not (run.output or "").strip():
        return
    try:
        with transaction.atomic():  # a savepoint
            remember(
                owner=Owner(project_id=run.project_id) if run.project_id else Owner(user_id=run.user_id),
                tier=Tier.EPISODIC,
                text=f"{shorten(run.input, _LONGEST_TASK)}\n\n{shorten(run.output or '', _LONGEST_ANSWER)}",
                metadata={"episode": "run", "events": _evidence(run)},
                importance=0.3,
                source_key=f"run:{run.pk}",
                origin=Origin(
                    author=run.user,
                    run_id=run.pk,
                    event_seq=run.last_seq,
                    source_type="run",
                    thread=f"session:{run.session_id}",
                    trust=Trust.OUTSIDE if run.taint else Trust.DERIVED,
                ),
            )
    except (OpenInternError, DatabaseError):
        logger.warning("run not remembered", run=run.pk, exc_info=True)


def add_keeper(keeper: Callable[[Run], None]) -> None:
    """Have `keeper` called for each run that ends by itself, in the transaction that ends it; said once, at start-up."""
    _keepers.append(keeper)


def keep_what_stays(run: Run) -> None:
    """Let those above keep what they want of a run that has just ended. As with its memory, none is in the way of its end."""
    for keeper in _keepers:
        try:
            with transaction.atomic():  # a savepoint
                keeper(run)
        except (OpenInternError, DatabaseError):
            logger.warning("not everything of a run was kept", run=run.pk, exc_info=True)


def _evidence(run: Run) -> list[int]:
    """The numbers of the events that the answer rests on: results of tools, and what was said meanwhile."""
    told = Event.objects.filter(run=run, type__in=(EventType.TOOL_RESULT, EventType.USER_INJECTED))
    return list(told.order_by("seq").values_list("seq", flat=True)[:100])
