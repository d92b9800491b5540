"""Somebody presses a button on a card. The decision is that of the page and the API: the same function, the same rights."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext_noop

from connectors.bot import people
from connectors.bot.arrivals import Arrival
from connectors.bot.cards.drawing import drawn, standing, toast
from connectors.models import ApprovalCard
from connectors.syncing.asked import ring
from openintern.errors import OpenInternError
from openintern.tenancy import audit
from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from runs import approvals
from runs.approvals import Decision, Verdict
from runs.models import Approval

#: Feishu waits three seconds: whoever else is at the run is waited for no longer than this.
_WAIT: Final = "1500ms"
_GONE: Final = gettext_noop("What this card asked is no longer here")
_NOT_ALLOWED: Final = gettext_noop("You may not decide about this")
_CHANGED: Final = gettext_noop("The call isn’t what this card shows; look at it on the page")
_BUSY: Final = gettext_noop("Somebody is at it just now; press again")
_SETTLED: Final = gettext_noop("It was decided already")
_DONE: Final = {Verdict.APPROVE: gettext_noop("Approved"), Verdict.REJECT: gettext_noop("Rejected")}


@dataclass(frozen=True)
class Press:
    """Who pressed what. All of it is Feishu's word for what somebody's client sent."""

    open_id: str
    card_id: str
    message_id: str
    digest: str
    verdict: Verdict


def take(arrival: Arrival) -> dict[str, Any]:
    """Decide what was pressed, in the name of who pressed it, and return what they see. In the transaction of the event."""
    press = _press(arrival)
    if press is None:
        return {}  # a card of somebody else's
    cards = ApprovalCard.objects.select_related("approval__run__user", "approval__decided_by")
    card = cards.filter(pk=press.card_id, connector=arrival.connector).first()
    if card is None or card.message_id not in {"", press.message_id}:
        return {"toast": toast("error", _GONE)}
    scope = people.scope_of(arrival.connector, press.open_id, org=arrival.org)
    if scope is None or not allows(scope.role, "approval", "decide"):
        _refused(scope, card)
        return {"toast": toast("error", _NOT_ALLOWED)}
    if not compare_digest(press.digest, card.approval.digest):
        return {"toast": toast("warning", _CHANGED)}
    return _decide(arrival, scope, card, press.verdict)


def _press(arrival: Arrival) -> Press | None:
    match arrival.event:
        case {
            "operator": {"open_id": str(open_id)},
            "action": {
                "value": {"card": str(card_id), "digest": str(digest), "verdict": "approve" | "reject" as verdict}
            },
            "context": {"open_message_id": str(message_id)},
        } if digest.isascii():
            return Press(open_id, card_id, message_id, digest, Verdict(verdict))
    return None


def _decide(arrival: Arrival, scope: Scope, card: ApprovalCard, verdict: Verdict) -> dict[str, Any]:
    asked = card.approval
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_WAIT])
            approvals.decide(scope, asked.run_id, asked.tool_call_id, Decision(verdict=verdict), at=arrival.at)
    except OpenInternError as refusal:
        return _as_it_stands(arrival, card, refusal)
    except OperationalError:  # the lock isn't to be had in time; nothing was decided
        return {"toast": toast("warning", _BUSY)}
    ring()  # whatever other cards there are say so, too
    return {"toast": toast("success", _DONE[verdict]), "card": _card(arrival, card)}


def _as_it_stands(arrival: Arrival, card: ApprovalCard, refusal: OpenInternError) -> dict[str, Any]:
    """Say why nothing came of it; where it was settled otherwise, the card shows how."""
    card.approval.refresh_from_db()
    if standing(card.approval, at=arrival.at) == Approval.Status.PENDING:
        hidden = refusal.code == "NOT_FOUND"  # out of this person's sight
        return {"toast": toast("error", _NOT_ALLOWED if hidden else refusal.message)}
    return {"toast": toast("info", _SETTLED), "card": _card(arrival, card)}


def _card(arrival: Arrival, card: ApprovalCard) -> dict[str, Any]:
    asked = Approval.objects.select_related("run__user", "decided_by").get(pk=card.approval_id)
    told = drawn(asked, card_id=card.pk, four_eyes=arrival.org.four_eyes, at=arrival.at)
    return {"type": "raw", "data": told}


def _refused(scope: Scope | None, card: ApprovalCard) -> None:
    """What somebody known was refused is in the audit, as everywhere."""
    if scope is not None:
        about = f"{card.approval.run_id}/{card.approval.tool_call_id}"
        audit.record("approval.decide", org=scope.org, actor=scope.user, via=scope.via, object_id=about, refused=True)
