"""Deciding about a call that the policy asks about. The first decision stands; when the last question of a step is
answered, the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.redaction import redact_text
from openintern.tenancy import audit
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from runs import log
from runs.events import Draft, EventType
from runs.lifecycle import lock_run
from runs.models import Approval, Run
from runs.queue import tickets
from runs.tools.registry import ToolError, tools

LONGEST_NOTE = 2000
#: How many questions one request may answer.
MOST_AT_ONCE = 50
#: How somebody is there in person, and not a key of theirs.
_IN_PERSON = ("session", "command")


class Verdict(StrEnum):
    """What a person says to a call."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict and what goes with it: what an approval covers, other arguments in place of the model's, a reason."""

    verdict: Verdict
    covers: str = Approval.Covers.CALL
    arguments: dict[str, Any] | None = None
    note: str = ""


def questions(scope: Scope, *, status: str = "") -> QuerySet[Approval]:
    """Return what was asked in the runs that `scope` may see, newest first; `status` narrows it."""
    if status and status not in Approval.Status.values:
        raise Invalid("status", f"Must be one of {', '.join(Approval.Status.values)}")
    seen = Approval.objects.for_scope(scope)
    rows = seen.pending() if status == Approval.Status.PENDING else seen.filter(status=status) if status else seen
    return rows.select_related("run__session", "run__user", "decided_by").order_by("-created_at", "-pk")


@transaction.atomic
def decide(scope: Scope, run_id: str, tool_call_id: str, decision: Decision, *, at: datetime) -> Approval:
    """Record what a person decided, in the log and the audit; the run goes on when nothing else is open.

    Raises NOT_FOUND for a run out of sight, RUN_NOT_WAITING unless it waits, APPROVAL_NOT_FOUND if the call asks
    nothing (any more), FORBIDDEN for whoever may not decide, VALIDATION_ERROR for arguments that the tool refuses.
    """
    _check_note(decision.note)
    run = lock_run(scope, run_id)
    if run.status != Run.Status.WAITING:
        raise OpenInternError("RUN_NOT_WAITING", f"Run is {run.status}")
    approval = _lock_question(run, tool_call_id)
    if approval is None:
        raise OpenInternError("APPROVAL_NOT_FOUND", "That call isn't waiting for an approval")
    _check_may_decide(scope, run, decision)
    _settle(approval, decision, by=scope, at=at)
    is_last = not Approval.objects.filter(run=run, status=Approval.Status.PENDING).exists()
    status = Run.Status.PENDING if is_last else Run.Status.WAITING
    log.append(run, _draft(approval, scope), status=status)
    if is_last:
        tickets.requeue(run)
    audit.record_for(
        scope,
        f"approval.{decision.verdict}",
        object_id=f"{run.pk}/{tool_call_id}",
        tool=approval.tool,
        covers=approval.covers,
        is_edited=approval.edited_arguments is not None,
    )
    return approval


def decide_many(scope: Scope, ids: Sequence[str], decision: Decision, *, at: datetime) -> dict[str, str]:
    """Decide about several questions alike, each in a transaction of its own; return each one's outcome or error code."""
    if len(ids) > MOST_AT_ONCE:
        raise Invalid("ids", f"At most {MOST_AT_ONCE} at once")
    outcomes = {}
    for approval_id in dict.fromkeys(ids):
        try:
            asked = find(scope, approval_id)
            outcomes[approval_id] = decide(scope, asked.run_id, asked.tool_call_id, decision, at=at).status
        except OpenInternError as error:
            outcomes[approval_id] = error.code
    return outcomes


def find(scope: Scope, approval_id: str) -> Approval:
    """Return one question, or raise NOT_FOUND."""
    approval = questions(scope).filter(pk=approval_id).first()
    if approval is None:
        raise NotFound("Approval")
    return approval


@transaction.atomic
def revoke(scope: Scope, approval_id: str, *, at: datetime) -> Approval:
    """End a grant: later calls are asked about again. Those that rest on it already go on.

    Raises NOT_FOUND unless it is a grant that holds, FORBIDDEN for one that only admins may end.
    """
    find(scope, approval_id)
    grant = Approval.objects.select_for_update().grants().filter(pk=approval_id).first()
    if grant is None:
        raise NotFound("Grant")
    if grant.covers == Approval.Covers.AGENT:
        _require_admin(scope)
    grant.revoked_at = at
    grant.save(update_fields=["revoked_at"])
    audit.record_for(scope, "approval.revoke", object_id=approval_id, tool=grant.tool, covers=grant.covers)
    return grant


def _lock_question(run: Run, tool_call_id: str) -> Approval | None:
    asked = Approval.objects.select_for_update(of=("self",)).pending().filter(run=run, tool_call_id=tool_call_id)
    return asked.select_related("run__session", "run__user").first()


def _check_note(note: str) -> None:
    if len(note) > LONGEST_NOTE:
        raise Invalid("reason", f"Must be at most {LONGEST_NOTE} characters")
    if not is_storable(note):
        raise Invalid("reason", "Must not hold NUL characters or lone surrogates")


def _check_may_decide(scope: Scope, run: Run, decision: Decision) -> None:
    """Under the four-eyes rule an admin in person decides, and never about a run of one's own."""
    if decision.covers == Approval.Covers.AGENT:
        _require_admin(scope)
    if scope.org.four_eyes and decision.verdict is Verdict.APPROVE:
        _require_admin(scope)
        if run.user_id == scope.user.pk:
            raise OpenInternError("FORBIDDEN", "Somebody else has to approve what you started")
        if scope.via not in _IN_PERSON:
            raise OpenInternError("FORBIDDEN", "A person has to approve this, not a program")


def _require_admin(scope: Scope) -> None:
    if not scope.role.includes(Role.ADMIN):
        raise OpenInternError("FORBIDDEN", "Only an admin of the organisation may do this")


def _settle(approval: Approval, decision: Decision, *, by: Scope, at: datetime) -> None:
    approved = decision.verdict is Verdict.APPROVE
    approval.status = Approval.Status.APPROVED if approved else Approval.Status.REJECTED
    approval.covers = _covers(decision) if approved else Approval.Covers.CALL
    approval.edited_arguments = _edited(approval, decision.arguments) if approved else None
    approval.note = redact_text(decision.note)
    approval.decided_by, approval.decided_at = by.user, at
    approval.save(update_fields=["status", "covers", "edited_arguments", "note", "decided_by", "decided_at"])


def _covers(decision: Decision) -> str:
    if decision.covers not in Approval.Covers.values:
        raise Invalid("covers", f"Must be one of {', '.join(Approval.Covers.values)}")
    return decision.covers


def _edited(approval: Approval, arguments: dict[str, Any] | None) -> dict[str, Any] | None:
    """The arguments that take the place of the model's, as long as the tool takes them; None to leave those."""
    if arguments is None or arguments == approval.arguments:
        return None
    tool = tools().get(approval.tool)
    if tool is None:
        raise Invalid("arguments", f"There is no tool {approval.tool} any more")
    try:
        tool.validate(arguments)
    except ToolError as error:
        raise Invalid("arguments", str(error)) from error
    return arguments


def _draft(approval: Approval, scope: Scope) -> Draft:
    payload: dict[str, Any] = {
        "toolName": approval.tool,
        "tool_call_id": approval.tool_call_id,
        "approval_id": approval.pk,
        "decided_by": scope.user.username,
    }
    if approval.status == Approval.Status.REJECTED:
        return Draft(EventType.TOOL_REJECTED, payload | {"reason": approval.note}, agent_id=approval.agent_id)
    payload["covers"] = approval.covers
    if approval.edited_arguments is not None:
        payload["args"] = approval.edited_arguments
    payload |= {"note": approval.note} if approval.note else {}
    return Draft(EventType.TOOL_APPROVED, payload, agent_id=approval.agent_id)
