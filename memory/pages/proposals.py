"""Change sets as a page shows them: each change with its memories as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory.consolidation import deciding, finding
from memory.models import Change, ChangeSet, Memory, State
from openintern.tenancy.scope import Scope


@dataclass(frozen=True)
class ShownChange:
    """A change, those of its memories that are still there, and whether it can still be made."""

    change: Change
    memories: list[Memory]
    holds: bool


@dataclass(frozen=True)
class ShownSet:
    """A change set, and whether it is for this person to decide."""

    change_set: ChangeSet
    changes: list[ShownChange]
    may_decide: bool

    @property
    def holds_any(self) -> bool:
        """Whether there is anything that could be accepted."""
        return any(each.holds for each in self.changes)

    @property
    def may_roll_back(self) -> bool:
        """Whether there is a way back, and it is for this person to take."""
        return self.may_decide and self.change_set.state == State.ACCEPTED


def shown(sets: Sequence[ChangeSet], scope: Scope) -> list[ShownSet]:
    """Return the sets with their changes and memories: two queries for all."""
    changes = list(Change.objects.filter(change_set__in=sets).order_by("change_set", "ordinal"))
    memories = finding.members_of(changes)
    by_set: dict[object, list[ShownChange]] = {each.pk: [] for each in sets}
    for change in changes:
        there = [memories[member] for member in change.members if member in memories]
        holds = change.state == State.PROPOSED and finding.still_holds(change, memories)
        by_set[change.change_set_id].append(ShownChange(change, there, holds))
    return [ShownSet(each, by_set[each.pk], deciding.may_decide(scope, each)) for each in sets]
