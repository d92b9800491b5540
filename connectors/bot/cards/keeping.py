"""Cards are sent, and say how it went when the question is settled. Whoever goes on finds everything in the database.

A claim is a lease, and its end is the number that fences it: who has lost it writes nothing. A card is sent under an id that is
its own, so that Feishu knows a second sending for an hour; after that it isn't sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from connectors.bot.cards import drawing, finding
from connectors.feishu import requests
from connectors.feishu.answers import Busy, Denied, Refusal
from connectors.feishu.asking import Asker, asker
from connectors.feishu.values import is_token
from connectors.models import ApprovalCard
from openintern.listening import IsStopping
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, organizations_where
from runs.models import Approval

logger = structlog.get_logger(__name__)

#: How long a card belongs to who claimed it without a word.
LEASE: Final = timedelta(seconds=60)
#: How often it is tried to get on with it. All tries lie within the hour in which Feishu knows a card again.
MOST_TRIES: Final = 10
LONGEST_PAUSE: Final = 600.0
#: For how long a card may be sent again whose arrival isn't known.
REPEATABLE: Final = timedelta(minutes=50)
State = ApprovalCard.State


class Lost(Exception):
    """The card is somebody else's by now, or its question is gone."""


@dataclass
class Hold:
    """A claimed card, as long as it is ours: until `lease`, which is also how we know it."""

    card: ApprovalCard
    org: Organization
    lease: datetime

    def keep(self) -> None:
        """Renew the lease. Raises Lost."""
        with connection.cursor() as cursor:
            cursor.execute(_RENEW, [LEASE.total_seconds(), self.card.pk, self.lease])
            row = cursor.fetchone()
        if row is None:
            raise Lost
        self.lease = row[0]

    def move(self, **changes: Any) -> None:
        """Write to the card. Raises Lost."""
        if not ApprovalCard.objects.filter(pk=self.card.pk, available_at=self.lease).update(**changes):
            raise Lost

    def end(self, state: State, *, problem: str = "") -> None:
        """Let nothing more happen to it. Raises Lost."""
        self.move(state=state, problem=problem[:300], ended_at=Now())

    def wait(self, *, seconds: float, problem: str) -> None:
        """Leave it alone for a while. Raises Lost."""
        pause = min(max(seconds, 2.0**self.card.tries), LONGEST_PAUSE)
        self.move(available_at=Now() + timedelta(seconds=pause), problem=problem[:300])


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a question waits, or a card may have to be sent or changed."""
    open_card = "state IN ('due', 'open') AND available_at <= clock_timestamp()"
    asked = organizations_where(table="runs_approval", condition="status = 'pending'", values={})
    kept = organizations_where(table="connectors_approvalcard", condition=open_card, values={})
    return list({org.pk: org for org in (*asked, *kept)}.values())


def work_round(orgs: Sequence[Organization], is_stopping: IsStopping) -> int:
    """Find new questions and get on with a card in each organisation; return how much there was to do."""
    return in_each(orgs, lambda org: 0 if is_stopping() else _work_in(org), doing="keeping cards")


def _work_in(org: Organization) -> int:
    return finding.find(org) + (work_next(org) is not None)


def work_next(org: Organization) -> ApprovalCard | None:
    """Get on with the card that waits longest; None if none can be got on with. Inside the organisation."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [LEASE.total_seconds()])
        row = cursor.fetchone()
    if row is None:
        return None
    cards = ApprovalCard.objects.select_related("connector__project", "approval__run__user", "approval__decided_by")
    card: ApprovalCard = cards.get(pk=row[0])
    try:
        _get_on(Hold(card, org, row[1]))
    except Lost:
        logger.info("a card was taken from its worker", card=card.pk)
    return card


def _get_on(hold: Hold) -> None:
    if hold.card.tries > MOST_TRIES:
        hold.end(State.FAILED, problem=hold.card.problem or "It was tried too often")
        return
    try:
        with asker(hold.card.connector, before_each=hold.keep) as asking:
            _send(hold, asking) if hold.card.state == State.DUE else _conclude(hold, asking)
    except Refusal as refusal:
        hold.end(State.FAILED, problem=str(refusal))
    except Denied as denied:  # it may be set right meanwhile
        hold.wait(seconds=0, problem=str(denied))
    except Busy as busy:
        hold.wait(seconds=busy.after, problem=str(busy))


def _send(hold: Hold, asking: Asker) -> None:
    """Send it. One whose question was settled before anything was sent is never sent; one that may be there already is."""
    card, at = hold.card, timezone.now()
    if card.begun_at is None:
        if drawing.standing(card.approval, at=at) != Approval.Status.PENDING:
            hold.end(State.CLOSED, problem="It was settled before it was sent")
            return
        hold.move(begun_at=Now())
    elif at - card.begun_at > REPEATABLE:
        raise Refusal("IN_DOUBT", "It isn't known whether the card arrived, and Feishu wouldn't know it again")
    content = _drawn(hold, at=at)
    if card.answers:
        request = requests.reply(card.answers, content, kind="interactive", once=card.pk, in_thread=card.in_thread)
    else:
        request = requests.send(card.to, content, kind="interactive", once=card.pk)
    message_id = asking.ask(request).get("message_id")
    if not is_token(message_id):
        raise Refusal("BAD_ANSWER", "Feishu doesn't say what the card is called")
    hold.move(state=State.OPEN, message_id=message_id, tries=0, problem="", available_at=Now())


def _conclude(hold: Hold, asking: Asker) -> None:
    """Let the card say how it went."""
    asking.ask(requests.update_card(hold.card.message_id, _drawn(hold, at=timezone.now())))
    hold.end(State.CLOSED)


def _drawn(hold: Hold, *, at: datetime) -> dict[str, Any]:
    return drawing.drawn(hold.card.approval, card_id=hold.card.pk, four_eyes=hold.org.four_eyes, at=at)


_RENEW: Final = """
    UPDATE connectors_approvalcard SET available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = %s AND available_at = %s RETURNING available_at
"""
_CLAIM: Final = """
    UPDATE connectors_approvalcard SET tries = tries + 1, available_at = clock_timestamp() + %s * interval '1 second'
    WHERE id = (
        SELECT card.id FROM connectors_approvalcard AS card JOIN runs_approval AS asked ON asked.id = card.approval_id
        WHERE card.state IN ('due', 'open') AND card.available_at <= clock_timestamp()
          AND (card.state = 'due' OR asked.status <> 'pending' OR asked.expires_at <= clock_timestamp())
        ORDER BY card.available_at, card.id LIMIT 1 FOR UPDATE OF card SKIP LOCKED)
    RETURNING id, available_at
"""
