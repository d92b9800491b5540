"""Deciding about change sets: accept all or some, reject, roll back. Pages, API, admin and policy all call these."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from memory import keeping, writing
from memory.consolidation import applying, finding
from memory.models import TRANSITIONS, ChangeSet, State
from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.models import User
from openintern.tenancy.scope import Scope


def change_sets(scope: Scope, *, state: str = "") -> QuerySet[ChangeSet]:
    """Return the change sets in sight, newest first."""
    if state and state not in State.values:
        raise Invalid("state", f"Must be one of {', '.join(State.values)}")
    everything: Any = ChangeSet.objects
    rows: QuerySet[ChangeSet] = everything.for_scope(scope).select_related("user", "project", "decided_by")
    return rows.filter(state=state) if state else rows


def find_change_set(scope: Scope, change_set_id: uuid.UUID) -> ChangeSet:
    """Return one that is in sight. Raises NotFound."""
    found = change_sets(scope).filter(pk=change_set_id).first()
    if found is None:
        raise NotFound("Change set")
    return found


@transaction.atomic
def accept(scope: Scope, change_set_id: uuid.UUID, *, chosen: Collection[int] | None = None, at: datetime) -> ChangeSet:
    """Make the changes, all or the chosen ones; those that aren't chosen are rejected.

    Raises CONFLICT where the set was decided before, or a chosen change is about what has changed since.
    """
    change_set = _in_hand(scope, change_set_id, to=State.ACCEPTED)
    known = set(change_set.changes.values_list("pk", flat=True))
    if chosen is not None and not set(chosen) <= known:
        raise Invalid("changes", "Not changes of this set")
    if chosen is not None and not chosen:
        raise Invalid("changes", "Choose at least one, or reject them all")
    number = carry_out(change_set, chosen=known if chosen is None else set(chosen), by=scope.user, at=at)
    audit.record_for(scope, "memory.changes.accept", object_id=str(change_set.pk), accepted=number, of=len(known))
    return change_set


@transaction.atomic
def reject(scope: Scope, change_set_id: uuid.UUID, *, at: datetime) -> ChangeSet:
    """Leave everything as it is. The same isn't proposed again."""
    change_set = _in_hand(scope, change_set_id, to=State.REJECTED)
    change_set.changes.filter(state=State.PROPOSED).update(state=State.REJECTED, text="")
    _settle(change_set, State.REJECTED, by=scope.user, at=at)
    audit.record_for(scope, "memory.changes.reject", object_id=str(change_set.pk))
    return change_set


@transaction.atomic
def roll_back(scope: Scope, change_set_id: uuid.UUID, *, at: datetime) -> ChangeSet:
    """Put back what an accepted set has changed, to the letter, all or nothing.

    Raises CONFLICT where something happened since that this would undo too, or it is too late.
    """
    change_set = _in_hand(scope, change_set_id, to=State.ROLLED_BACK)
    writing.lock_shelves(change_set.owner)
    changes = list(change_set.changes.filter(state=State.ACCEPTED).order_by("-ordinal"))
    memories = finding.members_of(changes)
    for change in changes:
        applying.undo(change, memories, at=at)
        change.state = State.ROLLED_BACK
        change.save(update_fields=["state"])
    _settle(change_set, State.ROLLED_BACK, by=scope.user, at=at)
    audit.record_for(scope, "memory.changes.roll_back", object_id=str(change_set.pk), changes=len(changes))
    return change_set


def carry_out(change_set: ChangeSet, *, chosen: set[int], by: User | None, at: datetime) -> int:
    """Make the chosen changes of a locked set and settle it; return how many they were. `by` nobody: by the policy."""
    writing.lock_shelves(change_set.owner)  # from here on the memories stay what they are
    changes = list(change_set.changes.filter(pk__in=chosen, state=State.PROPOSED).order_by("ordinal"))
    memories = finding.members_of(changes)
    for change in changes:
        applying.apply(change, memories, at=at)
        change.state, change.text = State.ACCEPTED, ""
        change.save(update_fields=["state", "text", "result", "forgetting"])
    change_set.changes.filter(state=State.PROPOSED).update(state=State.REJECTED, text="")
    _settle(change_set, State.ACCEPTED, by=by, at=at)
    return len(changes)


def may_decide(scope: Scope, change_set: ChangeSet) -> bool:
    """Whether it is this person's to decide: about their own; about a project's, an admin, or who added all of it."""
    if change_set.user_id is not None:
        return change_set.user_id == scope.user.pk
    if scope.sees_everything:
        return True
    memories = finding.members_of(list(change_set.changes.all()))
    return bool(memories) and all(keeping.may_change(scope, memory) for memory in memories.values())


def _in_hand(scope: Scope, change_set_id: uuid.UUID, *, to: State) -> ChangeSet:
    """Return the change set, locked, for the step to that state."""
    everything: Any = ChangeSet.objects
    rows: QuerySet[ChangeSet] = everything.for_scope(scope).select_for_update()
    change_set = rows.filter(pk=change_set_id).first()
    if change_set is None:
        raise NotFound("Change set")
    if not may_decide(scope, change_set):
        raise OpenInternError("FORBIDDEN", "An admin decides about what others have added")
    if to not in TRANSITIONS[change_set.state]:
        raise OpenInternError("CONFLICT", f"This was {State(change_set.state).label} already")
    return change_set


def _settle(change_set: ChangeSet, state: State, *, by: User | None, at: datetime) -> None:
    change_set.state, change_set.decided_by, change_set.decided_at = state, by, at
    change_set.save(update_fields=["state", "decided_by", "decided_at"])
