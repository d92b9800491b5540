"""What the engine has to do with approvals: ask, and on waking act on what was said.

Nothing of a step begins before all its questions are answered, so that a person who is asked about one call sees
the others as they stand in the model's answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from openintern.redaction import redact
from openintern.text import storable
from runs.engine.batch import Planned, Result
from runs.engine.effects import args_hash
from runs.engine.outcomes import Wait
from runs.engine.turn import Turn
from runs.events import Draft, EventType
from runs.models import Approval, Run
from runs.tools import policy

WAITING_FOR = "approval"
_TAINT = "taint."  # how the rules begin that ask because of text from outside


def with_grants(run: Run, turn: Turn, planned: Sequence[Planned]) -> list[Planned]:
    """Return the calls as they stand: those that an earlier approval of the agent's covers need no question.

    What was approved before text from outside came in covers nothing that is asked because of it: only an approval
    for this run, given to such a question, does.
    """
    if not any(one.asks for one in planned):
        return list(planned)
    grants = list(Approval.objects.covering(run, agent_id=turn.agent_id))
    return [_covered(one, grants) if one.asks else one for one in planned]


def _covered(one: Planned, grants: Sequence[Approval]) -> Planned:
    fitting = [grant for grant in grants if grant.tool == one.tool.name]
    if one.rule.startswith(_TAINT):
        fitting = [grant for grant in fitting if grant.rule == one.rule and grant.covers == Approval.Covers.RUN]
    return replace(one, asks=False, rule=f"approval.{fitting[0].covers}") if fitting else one


def ask(run: Run, turn: Turn, planned: Iterable[Planned]) -> None:
    """Write a question for each call that needs one, in the transaction that stores the answer it comes from."""
    Approval.objects.bulk_create(
        [
            Approval(
                run=run,
                tool_call_id=one.call.id,
                step=run.step,
                agent_id=turn.agent_id,
                tool=one.tool.name,
                risk=one.risk,
                arguments=_shown(one.call.arguments),
                digest=digest(turn, one),
                rule=one.rule,
                reason=one.reason,
                expires_at=Now() + timedelta(hours=settings.CONFIG.agent.approval_hours),
            )
            for one in planned
            if one.asks
        ]
    )


def wait_for(planned: Iterable[Planned]) -> Wait:
    """Return what the run waits for: the first call with an open question."""
    first = next(one for one in planned if one.asks)
    return Wait(WAITING_FOR, f"{first.tool.name} needs a person's approval", first.call.id)


@dataclass
class Judged:
    """What people said about the calls of a step: which may go, which are refused, which are still open."""

    go: list[Planned] = field(default_factory=list)
    refused: list[Result] = field(default_factory=list)
    pending: list[Planned] = field(default_factory=list)


def judge(run: Run, turn: Turn, planned: Sequence[Planned]) -> Judged:
    """Hold the calls of the current step against what was decided. A call without a question goes."""
    questions = {row.tool_call_id: row for row in Approval.objects.filter(run=run, step=run.step)}
    judged = Judged()
    for one in planned:
        question = questions.get(one.call.id)
        match question and question.status:
            case None:
                judged.go.append(replace(one, asks=False))
            case Approval.Status.PENDING:
                judged.pending.append(one)
            case Approval.Status.APPROVED if question.digest == digest(turn, one):  # type: ignore[union-attr]
                judged.go.append(_approved(one, question))  # type: ignore[arg-type]
            case _:
                judged.refused.append(_refusal(one, question))  # type: ignore[arg-type]
    return judged


def was_asked(run: Run) -> bool:
    """Whether the current step has put anything before people."""
    return Approval.objects.filter(run=run, step=run.step).exists()


def next_expiry(run: Run) -> datetime:
    """Return when the first open question of the run runs out."""
    return Approval.objects.filter(run=run, status=Approval.Status.PENDING).earliest("expires_at").expires_at


def expire(run: Run) -> list[Draft]:
    """Close the questions that nobody answered in time; return what the log has to say of them."""
    overdue = list(Approval.objects.select_for_update().overdue().filter(run=run).order_by("pk"))
    Approval.objects.filter(pk__in=[row.pk for row in overdue]).update(status=Approval.Status.EXPIRED)
    return [
        Draft(
            EventType.TOOL_REJECTED,
            {"toolName": row.tool, "tool_call_id": row.tool_call_id, "approval_id": row.pk, "reason": "expired"},
        )
        for row in overdue
    ]


def digest(turn: Turn, one: Planned) -> str:
    """Return what an approval is bound to: this tool, exactly these arguments, and the policy that asked."""
    version = policy.version(policy.Mandate.of(turn.config))
    return hashlib.sha256(f"{one.tool.name}\n{args_hash(one.call.arguments)}\n{version}".encode()).hexdigest()


def _approved(one: Planned, question: Approval) -> Planned:
    edited = question.edited_arguments
    call = one.call if edited is None else replace(one.call, arguments=edited)
    return replace(one, call=call, asks=False, rule="approval.call", is_edited=edited is not None)


def _refusal(one: Planned, question: Approval) -> Result:
    match question.status:
        case Approval.Status.REJECTED:
            why = f": {question.note}" if question.note else ""
            return Result(one.call, error=f"A person rejected this call{why}", code="REJECTED")
        case Approval.Status.EXPIRED:
            return Result(one.call, error="Nobody approved this call in time", code="APPROVAL_EXPIRED")
        case _:
            return Result(
                one.call, error="The policy has changed since this call was approved; ask again", code="REJECTED"
            )


def _shown(arguments: dict[str, Any] | None) -> dict[str, Any]:
    """The arguments as people see them; what can't be stored or mustn't be seen is replaced, as in the log."""
    shown, _ = redact(storable(arguments or {}))
    return dict(shown)
