"""An event of Feishu's: believed for its signature, taken once, by whoever takes its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from connectors.bot import messages
from connectors.bot.arrivals import Arrival
from connectors.bot.cards import pressing
from connectors.bot.sealing import Unbelieved, is_same, is_signed, opened
from connectors.feishu.values import is_token
from connectors.models import BotEvent, Connector
from openintern.tenancy.models import Organization

#: The most that is looked at; Feishu's own messages end at 150 KB.
LARGEST: Final = 512 * 1024
#: The question whether somebody is here comes unsigned, and is short.
LARGEST_UNSIGNED: Final = 4 * 1024

#: Who takes which type of event, in the transaction that notes it as taken; what is returned is what Feishu is answered.
#: Every other type is let pass.
TAKERS: Final[Mapping[str, Callable[[Arrival], dict[str, Any]]]] = {
    "im.message.receive_v1": messages.take,
    "card.action.trigger": pressing.take,
}


def take(
    connector: Connector, org: Organization, *, body: bytes, headers: Mapping[str, str], at: datetime
) -> dict[str, Any]:
    """Take what was sent to a connector, once, and return what Feishu is answered. Inside the organisation.

    Raises Unbelieved, and whatever a taker refuses with: then nothing is noted, and Feishu sends it again.
    """
    if not connector.hears:
        raise Unbelieved("the connector has no encrypt key and verification token")
    key = connector.encrypt_key.reveal()
    signed = is_signed(body, headers, key=key, now=at.timestamp())
    if not signed and len(body) > LARGEST_UNSIGNED:
        raise Unbelieved("it isn't signed as it should be, or not of late")
    told = opened(body, key)
    if told.get("type") == "url_verification":
        _require_token(told, connector)
        return _challenge(told)
    if not signed:
        raise Unbelieved("it isn't signed as it should be, or not of late")
    return _take_once(_arrival(told, connector, org, at=at))


def _challenge(told: Mapping[str, Any]) -> dict[str, Any]:
    challenge = told.get("challenge")
    if not isinstance(challenge, str):
        raise Unbelieved("its challenge is no text")
    return {"challenge": challenge}


def _arrival(told: Mapping[str, Any], connector: Connector, org: Organization, *, at: datetime) -> Arrival:
    header, event = told.get("header"), told.get("event")
    if not isinstance(header, dict) or not isinstance(event, dict):
        raise Unbelieved("it is no event of version 2")
    _require_token(header, connector)
    if header.get("app_id") != connector.app_id:
        raise Unbelieved("it is for another app")
    event_id, event_type = header.get("event_id"), header.get("event_type")
    if not is_token(event_id) or not isinstance(event_type, str):
        raise Unbelieved("it has no id, or no type")
    return Arrival(connector, org, event_id, event_type, event, at)


def _require_token(told: Mapping[str, Any], connector: Connector) -> None:
    if not is_same(told.get("token"), connector.verification_token.reveal()):
        raise Unbelieved("it has another verification token")


@transaction.atomic
def _take_once(arrival: Arrival) -> dict[str, Any]:
    """Have the event taken; one that was taken before, or that nobody takes, or that comes to a paused connector, is let pass."""
    taker = TAKERS.get(arrival.type)
    if taker is None or arrival.connector.status != Connector.Status.ACTIVE:
        return {}
    known = {"connector": arrival.connector, "event_id": arrival.event_id}
    _, is_new = BotEvent.objects.get_or_create(**known, defaults={"type": arrival.type[:100]})
    return taker(arrival) if is_new else {}
