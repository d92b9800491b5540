"""What agents ask people, as it is shown: the call as it would run, and what the model said about it set apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Final

from django.db.models import F, Q

from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope
from openintern.text import shorten
from runs.approvals import questions
from runs.events import EventType
from runs.family import DEEPEST
from runs.lifecycle import INSTANCE_PREFIX
from runs.models import Approval, Event, Run
from runs.pages.lanes import names_of

#: How many questions one page shows; the rest follow as these are answered.
MOST = 50
_SAID = 600
_TASK = 120
#: From a question to the run it is asked in, to the one that this works for, and so on: delegated ones, and a part of each.
_LINES: Final = tuple("__".join(["run", *["parent"] * above]) for above in range(DEEPEST + 2))


@dataclass(frozen=True)
class Question:
    """One call that waits. `said` is the model's own words in that step, which prove nothing."""

    approval: Approval
    agent: str  # who wants to make it: a member of a team or a role by its name
    arguments: str
    said: str
    may_grant: bool  # let the agent use this tool from now on
    is_anothers: bool = False  # it is asked in a run that works for the one that is looked at

    @property
    def task(self) -> str:
        """What its run is to do."""
        return shorten(" ".join(self.approval.run.input.split()), _TASK)

    @property
    def rows(self) -> int:
        """Lines of the field in which the arguments are changed."""
        return min(self.arguments.count("\n") + 2, 16)


def waiting(scope: Scope) -> list[Question]:
    """Return the open questions in sight, the oldest first."""
    return _shown(questions(scope, status=Approval.Status.PENDING).order_by("created_at", "pk")[:MOST], scope)


def questions_of(runs: Iterable[Run], scope: Scope) -> dict[str, list[Question]]:
    """Return the open questions of those runs that wait, by run: their own, and those of whatever works for them.

    At most MOST; the rest follow as these are answered.
    """
    ids = {run.pk for run in runs if run.status == Run.Status.WAITING}
    found: dict[str, list[Question]] = defaultdict(list)
    if ids:
        theirs = reduce(or_, (Q(**{f"{line}__in": ids}) for line in _LINES))
        asked = questions(scope, status=Approval.Status.PENDING).filter(theirs).order_by("created_at", "pk")
        above = {f"above_{place}": F(line) for place, line in enumerate(_LINES)}
        for question in _shown(asked.annotate(**above)[:MOST], scope):
            for_whom = next(run_id for name in above if (run_id := getattr(question.approval, name)) in ids)
            found[for_whom].append(replace(question, is_anothers=question.approval.run_id != for_whom))
    return found


def count_waiting(scope: Scope) -> int:
    """Return how many questions are open in sight, MOST + 1 at most."""
    return questions(scope, status=Approval.Status.PENDING).order_by()[: MOST + 1].count()


def decided(scope: Scope) -> Iterable[Approval]:
    """Return what was decided or lapsed last, newest first."""
    return questions(scope).exclude(status=Approval.Status.PENDING)[:20]


def grants(scope: Scope) -> Iterable[Approval]:
    """Return the approvals that still let calls of agents pass."""
    return questions(scope).filter(pk__in=Approval.objects.grants().filter(covers=Approval.Covers.AGENT))[:MOST]


def _shown(asked: Iterable[Approval], scope: Scope) -> list[Question]:
    rows = list(asked)
    said = _words_of({(row.run_id, row.step) for row in rows})
    return [
        Question(
            approval=row,
            agent=_name_of(row),
            arguments=json.dumps(row.arguments, ensure_ascii=False, indent=2),
            said=said.get((row.run_id, row.step), "")[:_SAID],
            may_grant=scope.role.includes(Role.ADMIN),
        )
        for row in rows
    ]


def _name_of(asked: Approval) -> str:
    """Members of teams and roles go by their names; an agent of somebody's own naming by that."""
    agent_id, role = asked.agent_id, asked.run.config.get("role") or {}
    if agent_id == role.get("id") or agent_id.startswith(INSTANCE_PREFIX):
        return str(role.get("name") or names_of(asked.run).get(agent_id, agent_id))
    return agent_id


def _words_of(steps: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    runs = {run for run, _ in steps}
    told = Event.objects.filter(run__in=runs, type=EventType.LLM_CALLED, step__in={step for _, step in steps})
    return {
        (run, step): text or ""
        for run, step, text in told.order_by("seq").values_list("run_id", "step", "payload__text")
    }
