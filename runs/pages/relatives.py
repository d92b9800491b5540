"""The runs beside a run: the one that it comes from, and those that it gave work to."""

from __future__ import annotations

from dataclasses import dataclass

from openintern.tenancy.scope import Scope
from openintern.text import shorten
from runs.models import Run
from runs.pages.turns import who_answers

SHOWN = 20
_TASK = 120


@dataclass(frozen=True)
class Relative:
    """A run as its relatives name it."""

    run: Run
    who: str  # the team or the role; "" for the agent that everybody has
    task: str


@dataclass(frozen=True)
class Relatives:
    """Those that somebody may see."""

    parent: Relative | None
    children: list[Relative]


def relatives_of(run: Run, scope: Scope) -> Relatives:
    """Return the relatives of a run, the children in the order in which they began. One query, and one for a parent.

    A team's members are none, though they work in runs of their own: those are its lanes.
    """
    seen = Run.objects.for_scope(scope)
    parent = seen.filter(pk=run.parent_id).first() if run.parent_id else None
    others = seen.filter(parent=run).exclude(group_id=run.group_id) if run.group_id else seen.filter(parent=run)
    children = others.order_by("created_at", "pk")[:SHOWN]
    return Relatives(_told(parent) if parent else None, [_told(child) for child in children])


def _told(run: Run) -> Relative:
    return Relative(run, who_answers(run), shorten(" ".join(run.input.split()), _TASK))
