"""Putting into the outbox what isn't an event of a run. Events of runs get there by themselves (ADR 14)."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection

from openintern.redaction import redact
from openintern.text import storable
from runs.events import EventType
from runs.models import Delivery, Webhook

#: `NOTIFY` channel of what is new in an outbox; the payload is the schema.
CHANNEL: Final = "openintern_outbox"
TEST: Final = "webhook.test"

_announced: dict[str, None] = {}


def announce(*types: str) -> None:
    """Say what an app may emit besides the events of runs, so that webhooks can be told of it; called at start-up."""
    _announced.update(dict.fromkeys(types))


def types() -> list[str]:
    """Return everything that a webhook can be told of."""
    return [*(type.value for type in EventType if type is not EventType.LLM_TOKEN), *_announced]


def emit(type: str, payload: dict[str, Any]) -> int:
    """Tell the webhooks that want to hear of `type`, in the caller's transaction and organisation; return how many.

    Secrets are redacted as in events. A type that nobody announced is a mistake of the program: ValueError.
    """
    if type not in _announced:
        raise ValueError(f"{type} was not announced")
    hooks = Webhook.objects.filter(rests="", event_types__contains=[type])
    return len([enqueue(hook, type, payload) for hook in hooks])


def enqueue(hook: Webhook, type: str, payload: dict[str, Any]) -> Delivery:
    """Put one message into a webhook's outbox and wake the courier."""
    delivery = Delivery.objects.create(webhook=hook, type=type, payload=redact(storable(payload))[0])
    ring()
    return delivery


def ring() -> None:
    """Wake the courier when the current transaction commits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, connection.schema_name])  # type: ignore[attr-defined]
