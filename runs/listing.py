"""Finding runs: the filters that the list in the API and the page share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db.models import QuerySet

from openintern.errors import Invalid
from openintern.paging import moment
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from runs.models import Run

#: The query parameters of a list of runs.
FILTERS = ("status", "session_key", "agent_id", "group_id", "q", "created_after", "created_before")


def runs_matching(scope: Scope, query: Mapping[str, str]) -> QuerySet[Run]:
    """Return the runs in sight that match `status`, `session_key`, `agent_id`, `group_id`, `q` (in the task or the id) and times.

    Raises VALIDATION_ERROR for a value that can't be meant.
    """
    runs = Run.objects.for_scope(scope).select_related("session", "user", "project")
    if status := query.get("status"):
        if status not in Run.Status.values:
            raise Invalid("status", f"Must be one of {', '.join(Run.Status.values)}")
        runs = runs.filter(status=status)
    if session_key := _text(query, "session_key"):
        runs = runs.filter(session__key=session_key)
    if agent_id := _text(query, "agent_id"):
        runs = runs.filter(agent_id=agent_id)
    if group_id := _text(query, "group_id"):
        runs = runs.filter(group_id=group_id)
    if words := _text(query, "q"):
        runs = runs.filter(pk=words) if words.startswith("run_") else runs.filter(input__icontains=words)
    if after := _moment(query, "created_after"):
        runs = runs.filter(created_at__gt=after)
    if before := _moment(query, "created_before"):
        runs = runs.filter(created_at__lt=before)
    return runs


def _text(query: Mapping[str, str], field: str) -> str:
    value = query.get(field, "").strip()
    if len(value) > 200 or not is_storable(value):
        raise Invalid(field, "Not a valid value")
    return value


def _moment(query: Mapping[str, str], field: str) -> datetime | None:
    return moment(query[field], field=field) if field in query else None
