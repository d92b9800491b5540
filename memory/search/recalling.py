"""What a run remembers before a step: tiers with budgets, so that no tier drowns the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from memory.models import Shelf, Tier
from memory.owners import Owner
from memory.search.finding import Extent, search_extent
from memory.search.hits import Answer, Hit
from memory.search.question import Question
from openintern.tenancy.scope import Scope

Place = tuple[Owner, str]  # whose, and of which tier


@dataclass(frozen=True)
class Budget:
    """How much of the limit goes to some shelves; what they don't use goes to those after them."""

    places: frozenset[Place]
    share: float


def recall(scope: Scope, query: str, *, limit: int = 6, board: str = "", agent: str = "") -> Answer:
    """Return what a run in `scope` remembers for `query`: at most `limit` memories, the best first.

    A team's run (`board`) gives half to its board's core and episodic memories; then project core, the agent instance's
    own episodic, and the project's archival share the rest. A person's run gives three tenths to the person's core,
    four to archival knowledge (the person's and the project's), the rest to what happened. Project memories are those of
    the run's own project and of no other.
    """
    question = Question.of(query)
    budgets = _of_a_team(scope, board=board, agent=agent) if board else _of_a_person(scope, agent=agent)
    filled = _filled(scope, board=board, agent=agent)
    hits: dict[Any, Hit] = {}
    missing = searched = 0
    due = 0.0
    for budget in budgets:
        due += budget.share * limit
        room = min(limit, round(due + 0.5)) - len(hits)
        there = Extent.of(shelf for shelf in filled if (shelf.owner, shelf.tier) in budget.places)
        if room <= 0 or not there.passages:
            continue
        answer = search_extent(there, question, limit=room)
        hits.update({hit.id: hit for hit in answer.hits})
        missing, searched = missing + answer.missing_vectors, searched + answer.searched
    ordered = sorted(hits.values(), key=lambda hit: -hit.score)
    return Answer(tuple(ordered[:limit]), missing_vectors=missing, searched=searched)


#: Written out, and not composed by Django: every step asks it, most runs remember little, and composing takes longer than it.
_FILLED = """
    SELECT * FROM memory_shelf
    WHERE passages > 0 AND (user_id = %s OR project_id = %s OR board = %s OR agent = %s)
"""


def _filled(scope: Scope, *, board: str, agent: str) -> list[Shelf]:
    """Return the shelves that hold anything, of all whose memories the budgets may name; NULL names none."""
    project_id = scope.project.pk if scope.project is not None else None
    return list(Shelf.objects.raw(_FILLED, [scope.user.pk, project_id, board or None, agent or None]))


def _of_a_team(scope: Scope, *, board: str, agent: str) -> Sequence[Budget]:
    mine, ours, own = [Owner.of_user(scope.user)], _project(scope), _agent(agent)
    return (
        Budget(_places([Owner(board=board)], Tier.CORE, Tier.EPISODIC), 0.5),
        Budget(_places(ours, Tier.CORE), 1 / 6),
        Budget(_places(own, Tier.EPISODIC), 1 / 6),
        Budget(_places([*mine, *ours], Tier.ARCHIVAL), 1 / 6),
    )


def _of_a_person(scope: Scope, *, agent: str) -> Sequence[Budget]:
    mine, ours, own = [Owner.of_user(scope.user)], _project(scope), _agent(agent)
    return (
        Budget(_places([*mine, *ours], Tier.CORE), 0.3),
        Budget(_places([*mine, *ours], Tier.ARCHIVAL), 0.4),
        Budget(_places([*mine, *ours, *own], Tier.EPISODIC), 0.3),
    )


def _places(owners: Iterable[Owner], *tiers: str) -> frozenset[Place]:
    return frozenset(product(owners, tiers))


def _project(scope: Scope) -> list[Owner]:
    return [Owner.of_project(scope.project)] if scope.project is not None else []


def _agent(agent: str) -> list[Owner]:
    return [Owner(agent=agent)] if agent else []
