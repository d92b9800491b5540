"""Giving a task once more."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from openintern.tenancy.scope import Scope
from runs import lifecycle
from runs.files.attachments import still_attachable
from runs.models import Run


@transaction.atomic
def repeat_run(scope: Scope, run_id: str, *, session_key: str, at: datetime) -> Run:
    """Start a run with the task of an earlier one, in its role or by its team, and with those of its files that are still there.

    Raises NOT_FOUND for a run that isn't in sight, or whose role or group is gone.
    """
    run = lifecycle.find_run(scope, run_id)
    attachments = still_attachable(scope, run)
    role = run.config.get("role") or {}
    return lifecycle.create_run(
        scope,
        text=run.input,
        session_key=session_key,
        role_id=role.get("id", ""),
        group_id=run.group_id,
        attachments=attachments,
        at=at,
    )
