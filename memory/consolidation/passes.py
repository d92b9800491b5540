"""The pass over an owner's memories: withdraw what no longer holds, propose what is new, let the policy accept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from django.contrib.postgres.functions import RandomUUID
from django.db import IntegrityError, transaction
from django.utils import timezone

from memory import writing
from memory.consolidation import deciding, finding, writers
from memory.consolidation.finding import Proposal
from memory.models import Change, ChangeSet, ConsolidationPolicy, Shelf, State
from memory.owners import Owner
from openintern.tenancy import audit
from openintern.tenancy.models import Organization, Project
from openintern.tenancy.rounds import in_each

logger = structlog.get_logger(__name__)

#: Merges of one pass that a model writes.
_MOST_WRITTEN = 20


def propose_all() -> None:
    """Make a pass over every organisation that wants one; called by the daily schedule."""
    in_each(Organization.objects.filter(is_active=True).order_by("pk"), _propose_in, doing="consolidating memories")


def _propose_in(org: Organization) -> int:
    if not ConsolidationPolicy.current().is_on:
        return 0
    return len(propose_for_everybody(org, at=timezone.now()))


def propose_for_everybody(org: Organization, *, at: datetime) -> list[ChangeSet]:
    """Make a pass over each owner's memories. One that fails doesn't keep the others from it."""
    made: list[ChangeSet] = []
    for owner in owners():
        try:
            made += propose(owner, org=org, at=at)
        except Exception:  # an owner's pass stands by itself
            logger.exception("an owner's memories can't be consolidated", org=org.slug, owner=str(owner))
    return made


def owners() -> list[Owner]:
    """Return who has memories that people look after: persons and projects, not boards and agent instances."""
    rows = Shelf.objects.filter(board="", agent="").order_by("user_id", "project_id")
    return [
        Owner(user_id=user, project_id=project)
        for user, project in rows.values_list("user_id", "project_id").distinct()
    ]


def propose(owner: Owner, *, org: Organization, at: datetime) -> list[ChangeSet]:
    """Look once through the owner's memories; return the change sets that came of it, none where nothing is new.

    What the policy accepts is a set of its own, and made at once.
    """
    policy = ConsolidationPolicy.current()
    withdraw_outdated(owner, at=at)
    proposals = _written(look(owner, policy, at=at), owner, policy)
    at_once = [each for each in proposals if _is_accepted(each, owner, policy)]
    to_review = [each for each in proposals if not _is_accepted(each, owner, policy)]
    made = [_store(to_review, owner, org=org)]
    if at_once:
        made.append(_store_accepted(at_once, owner, org=org, at=at))
    return [each for each in made if each is not None]


def look(owner: Owner, policy: ConsolidationPolicy, *, at: datetime) -> list[Proposal]:
    """Return what a pass would propose, and change nothing."""
    return finding.find(
        owner,
        at=at,
        stale_after_days=policy.stale_after_days,
        superseded_after_days=policy.superseded_after_days,
    )


@transaction.atomic
def withdraw_outdated(owner: Owner, *, at: datetime) -> int:
    """Withdraw open changes whose memories aren't what they were; return how many. Their texts go with them."""
    everything: Any = ChangeSet.objects
    sets = list(everything.of(owner).filter(state=State.PROPOSED).select_for_update())
    changes = list(Change.objects.filter(change_set__in=sets, state=State.PROPOSED))
    memories = finding.members_of(changes)
    outdated = [change.pk for change in changes if not finding.still_holds(change, memories)]
    # with another digest: should the memories be once more what they were, the same may be proposed again
    Change.objects.filter(pk__in=outdated).update(state=State.WITHDRAWN, text="", digest=RandomUUID())
    still_open = set(
        Change.objects.filter(change_set__in=sets, state=State.PROPOSED).values_list("change_set", flat=True)
    )
    closed = [each.pk for each in sets if each.pk not in still_open]
    ChangeSet.objects.filter(pk__in=closed).update(state=State.WITHDRAWN, decided_at=at)
    return len(outdated)


def _written(proposals: list[Proposal], owner: Owner, policy: ConsolidationPolicy) -> list[Proposal]:
    """Let a model write the first merges, where the policy wants that. Not in a transaction: it takes its time."""
    if not policy.uses_model or policy.set_by is None:
        return proposals
    project = Project.objects.filter(pk=owner.project_id).first() if owner.project_id else None
    merges = [each for each in proposals if each.kind == Change.Kind.MERGE][:_MOST_WRITTEN]
    better = {}
    for merge in merges:
        texts = [memory.text for memory in merge.memories]
        if (text := writers.write(texts, payer=policy.set_by, project=project)) is not None:
            better[merge.digest] = finding.with_text(merge, text.text, by=text.by)
    return [better.get(each.digest, each) for each in proposals]


def _is_accepted(proposal: Proposal, owner: Owner, policy: ConsolidationPolicy) -> bool:
    return owner.project_id is not None and not proposal.written_by and policy.accepts(proposal.kind)


@transaction.atomic
def _store_accepted(
    proposals: Sequence[Proposal], owner: Owner, *, org: Organization, at: datetime
) -> ChangeSet | None:
    change_set = _store(proposals, owner, org=org)
    if change_set is None:
        return None
    chosen = set(change_set.changes.values_list("pk", flat=True))
    deciding.carry_out(change_set, chosen=chosen, by=None, at=at)
    details = {"accepted": len(chosen), "by": "policy"}
    audit.record("memory.changes.accept", org=org, via="policy", object_id=str(change_set.pk), details=details)
    return change_set


def _store(proposals: Sequence[Proposal], owner: Owner, *, org: Organization) -> ChangeSet | None:
    """Store what still holds as one change set; of two passes at the same time only one has it."""
    if not proposals:
        return None
    try:
        with transaction.atomic():
            writing.lock_shelves(owner)
            change_set = ChangeSet.objects.create(user_id=owner.user_id, project_id=owner.project_id)
            changes = [_drafted(change_set, ordinal, each) for ordinal, each in enumerate(proposals)]
            memories = finding.members_of(changes)
            Change.objects.bulk_create(change for change in changes if finding.still_holds(change, memories))
            if not change_set.changes.exists():
                change_set.delete()
                return None
            details = {"changes": len(changes)}
            audit.record("memory.changes.propose", org=org, via="pass", object_id=str(change_set.pk), details=details)
    except IntegrityError:  # the other pass was quicker
        return None
    return change_set


def _drafted(change_set: ChangeSet, ordinal: int, proposal: Proposal) -> Change:
    return Change(
        change_set=change_set,
        ordinal=ordinal,
        kind=proposal.kind,
        digest=proposal.digest,
        members=proposal.members,
        before=proposal.before,
        text=proposal.text,
        written_by=proposal.written_by,
        evidence=proposal.evidence,
    )
