"""A message is kept, to be worked on by the `connector` process: Feishu waits three seconds for its answer, and no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.bot.arrivals import Arrival
from connectors.feishu.values import entries, is_token
from connectors.models import BotMessage
from connectors.syncing.asked import ring
from openintern.errors import OpenInternError
from openintern.text import storable

LONGEST_TEXT: Final = 20_000
#: How many messages of a connector may wait: more are sent again by Feishu, later.
MOST_WAITING: Final = 500
#: How many of one person's may: more are let go, so that nobody keeps the others waiting.
MOST_OF_ONE: Final = 20
_MOST_MENTIONS: Final = 50
State = BotMessage.State


def take(arrival: Arrival) -> dict[str, Any]:
    """Keep a message. Raises UNAVAILABLE where too many wait."""
    message = _message(arrival)
    if (
        message is None
        or BotMessage.objects.filter(connector=arrival.connector, message_id=message.message_id).exists()
    ):
        return {}
    waiting = BotMessage.objects.filter(connector=arrival.connector, state__in=BotMessage.UNFINISHED)
    if waiting.count() >= MOST_WAITING:
        raise OpenInternError("UNAVAILABLE", "Too many messages wait", details={"retry_after": 60})
    if waiting.filter(sender=message.sender).count() >= MOST_OF_ONE:
        message.state, message.ended_at = State.IGNORED, arrival.at
        message.text, message.problem = "", f"{MOST_OF_ONE} messages of this person waited already"
    message.save(force_insert=True)
    ring()
    return {}


def _message(arrival: Arrival) -> BotMessage | None:
    """The message; None for what no person sent, or has no sense."""
    match arrival.event:
        case {"sender": {"sender_id": {"open_id": str(sender)}, "sender_type": "user"}, "message": dict(message)}:
            pass
        case _:
            return None
    message_id, chat_id = message.get("message_id"), message.get("chat_id")
    if not is_token(sender) or not is_token(message_id) or not is_token(chat_id):
        return None
    mentions, root = entries(message, "mentions")[:_MOST_MENTIONS], message.get("root_id")
    is_private = message.get("chat_type") == "p2p"
    in_thread = is_token(message.get("thread_id"))
    first = root if is_token(root) else message_id
    return BotMessage(
        connector=arrival.connector,
        message_id=message_id,
        conversation=chat_id if is_private and not in_thread else first,
        sender=sender,
        is_private=is_private,
        in_thread=in_thread or not is_private,
        mentions=[named for each in mentions if is_token(named := _open_id(each))],
        text=_words(message, mentions),
    )


def _open_id(mention: Mapping[str, Any]) -> Any:
    named = mention.get("id")
    return named.get("open_id") if isinstance(named, dict) else None


def _words(message: Mapping[str, Any], mentions: list[dict[str, Any]]) -> str:
    """The words of a text or a rich text, without the signs that stand for those who are mentioned; "" where it has none."""
    try:
        told = json.loads(message.get("content") or "")
    except (ValueError, TypeError, RecursionError):
        return ""
    if not isinstance(told, dict):
        return ""
    kind = message.get("message_type")
    text = told.get("text") if kind == "text" else _rich(told) if kind == "post" else ""
    text = text if isinstance(text, str) else ""
    for each in mentions:
        if isinstance(each.get("key"), str) and each["key"]:
            text = text.replace(each["key"], " ")
    return str(storable(text)).strip()[:LONGEST_TEXT]


def _rich(told: Mapping[str, Any]) -> str:
    """A rich text, line by line."""
    lines = told.get("content")
    title = told.get("title")
    said = ["".join(_pieces(line)) for line in lines] if isinstance(lines, list) else []
    return "\n".join([title, *said] if isinstance(title, str) and title else said)


def _pieces(line: Any) -> Iterator[str]:
    for piece in line if isinstance(line, list) else []:
        match piece:
            case {"tag": "text" | "code_block" | "md", "text": str(text)}:
                yield text
            case {"tag": "a", "text": str(text), "href": str(href)}:
                yield f"{text} ({href})"
