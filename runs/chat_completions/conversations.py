"""From a client's request to a run: which agent, which conversation, what was said before.

The client sends the whole talk with every call, and that is what the agent hears: the client may have edited it. The
session only keeps the runs of one talk together. It is the one that the client names; else that of the run whose answer
the talk ends with; else a new one.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from django.db import transaction

from openintern.errors import OpenInternError
from openintern.ids import random_text
from openintern.redaction import redact_text
from openintern.tenancy.scope import Scope
from runs.briefs import role_choices, team_choices
from runs.chat_completions.requests import Asked
from runs.lifecycle import GROUP_PREFIX, create_run
from runs.models import DEFAULT_AGENT, Run
from runs.multitask import Strategy
from runs.provenance import Talk

_LOOKED_THROUGH: Final = 200  # one's latest runs, in which the one that a talk goes on from is looked for
TEAM_PREFIX: Final = "team:"
_NAMED: Final = re.compile(r"/trace/(run_[A-Za-z0-9]{1,36})")


class Busy(Exception):
    """The conversation's last run hasn't ended."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.pk)
        self.run = run


def agents(scope: Scope) -> list[str]:
    """The agents that somebody may talk to, by the names under which clients know them."""
    return [DEFAULT_AGENT, *(role for role, _ in role_choices()), *_teams(scope)]


def _teams(scope: Scope) -> dict[str, str]:
    """The ids of the teams that somebody may talk to, by the names under which clients know them.

    What stands behind an `@` is a model: a team with one in its name goes by its id.
    """
    return {
        f"{GROUP_PREFIX}{group_id}" if "@" in name else f"{TEAM_PREFIX}{name}": group_id
        for group_id, name in team_choices(scope)
    }


@transaction.atomic
def begin(scope: Scope, asked: Asked, *, session_key: str, idempotency_key: str | None, at: datetime) -> Run:
    """Start the run that answers. Raises Busy, `model_not_found` for an agent that isn't there, and as `create_run`."""
    if asked.agent_id not in agents(scope):
        raise OpenInternError(
            "NOT_FOUND", f"There is no model {asked.agent_id}; GET /v1/models lists them", details={"field": "model"}
        )
    follows = _predecessor(scope, asked)
    if not session_key:
        session_key = follows.session.key if follows and not _is_busy(follows) else f"s_chat_{random_text(12)}"
    return _create(scope, asked, session_key=session_key, follows=follows, idempotency_key=idempotency_key, at=at)


def _create(
    scope: Scope, asked: Asked, *, session_key: str, follows: Run | None, idempotency_key: str | None, at: datetime
) -> Run:
    group_id = _teams(scope).get(asked.agent_id, "")
    try:
        return create_run(
            scope,
            text=asked.text,
            at=at,
            session_key=session_key,
            agent_id=DEFAULT_AGENT if group_id else asked.agent_id,
            group_id=group_id,
            llm_config=asked.llm_config,
            multitask_strategy=Strategy.REJECT,
            talk=Talk(history=asked.history, instructions=asked.instructions, follows=follows),
            idempotency_key=idempotency_key,
        )
    except OpenInternError as error:
        going_on = _unfinished(scope, session_key) if error.code == "CONFLICT" else None
        if going_on is None:
            raise
        raise Busy(going_on) from error


def _predecessor(scope: Scope, asked: Asked) -> Run | None:
    """One's own run that gave the answer with which the client's history ends, if it can be told."""
    if len(asked.history) < 2 or asked.history[-1]["role"] != "assistant":
        return None
    mine = Run.objects.filter(user=scope.user, project=scope.project, parent=None).select_related("session")
    question, answer = asked.history[-2]["content"], asked.history[-1]["content"].strip()
    if named := _NAMED.findall(answer):
        return mine.filter(pk=named[-1]).first()
    latest = mine.order_by("-created_at").values("pk")[:_LOOKED_THROUGH]
    alike = mine.filter(pk__in=latest, input=redact_text(question), output__isnull=False).order_by("-created_at")
    return next((run for run in alike if answer.endswith((run.output or "").strip())), None)


def _is_busy(follows: Run) -> bool:
    """Whether another run is under way in the conversation. One that waits for a person is what the client has to hear of."""
    if not follows.is_final:
        return False
    return Run.objects.unfinished().filter(session=follows.session_id).exists()


def _unfinished(scope: Scope, session_key: str) -> Run | None:
    mine = Run.objects.unfinished().filter(user=scope.user, project=scope.project, session__key=session_key)
    return mine.order_by("created_at").first()
