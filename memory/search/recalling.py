"""What a run remembers before a step: tiers with budgets, so that no tier drowns the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q

from memory.models import Shelf, Tier
from memory.search.finding import search_shelves
from memory.search.hits import Answer, Hit
from openintern.tenancy.scope import Scope


@dataclass(frozen=True)
class Budget:
    """How much of the limit goes to some shelves; what they don't use goes to those after them."""

    shelves: Q
    share: float


def recall(scope: Scope, query: str, *, limit: int = 6, board: str = "", agent: str = "") -> Answer:
    """Return what a run in `scope` remembers for `query`: at most `limit` memories, the best first.

    A team's run (`board`) gives half to its board's core and episodic memories; then project core, the agent instance's
    own episodic, and the project's archival share the rest. A person's run gives three tenths to the person's core,
    four to archival knowledge (the person's and the project's), the rest to what happened. Project memories are those of
    the run's own project and of no other.
    """
    budgets = _of_a_team(scope, board=board, agent=agent) if board else _of_a_person(scope, agent=agent)
    hits: dict[Any, Hit] = {}
    missing = searched = 0
    due = 0.0
    for budget, shelves in zip(budgets, _filled(budgets), strict=True):
        due += budget.share * limit
        room = min(limit, round(due + 0.5)) - len(hits)
        if room <= 0 or not shelves:
            continue
        answer = search_shelves(Shelf.objects.filter(pk__in=shelves), query, limit=room)
        hits.update({hit.id: hit for hit in answer.hits})
        missing, searched = missing + answer.missing_vectors, searched + answer.searched
    ordered = sorted(hits.values(), key=lambda hit: -hit.score)
    return Answer(tuple(ordered[:limit]), missing_vectors=missing, searched=searched)


def _filled(budgets: Sequence[Budget]) -> list[list[int]]:
    """Return for each budget its shelves that hold anything: most runs remember little, and ask for it in every step."""
    filled: Any = Shelf.objects.filter(reduce(or_, (budget.shelves for budget in budgets)), passages__gt=0)
    is_in = {
        f"is_in_{place}": ExpressionWrapper(budget.shelves, BooleanField()) for place, budget in enumerate(budgets)
    }
    rows = list(filled.values("pk", **is_in))
    return [[row["pk"] for row in rows if row[name]] for name in is_in]


def _of_a_team(scope: Scope, *, board: str, agent: str) -> Sequence[Budget]:
    ours = _project(scope)
    return (
        Budget(Q(board=board, tier__in=[Tier.CORE, Tier.EPISODIC]), 0.5),
        Budget(ours & Q(tier=Tier.CORE), 1 / 6),
        Budget(Q(agent=agent, tier=Tier.EPISODIC) if agent else Q(pk__in=[]), 1 / 6),
        Budget(ours & Q(tier=Tier.ARCHIVAL) | Q(user=scope.user, tier=Tier.ARCHIVAL), 1 / 6),
    )


def _of_a_person(scope: Scope, *, agent: str) -> Sequence[Budget]:
    mine, ours = Q(user=scope.user), _project(scope)
    happened = mine | (Q(agent=agent) if agent else Q(pk__in=[]))
    return (
        Budget((mine | ours) & Q(tier=Tier.CORE), 0.3),
        Budget((mine | ours) & Q(tier=Tier.ARCHIVAL), 0.4),
        Budget((happened | ours) & Q(tier=Tier.EPISODIC), 0.3),
    )


def _project(scope: Scope) -> Q:
    return Q(project=scope.project) if scope.project is not None else Q(pk__in=[])
