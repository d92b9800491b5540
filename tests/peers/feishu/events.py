"""What Feishu sends: events as its pages show them, sealed and signed as it does."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from Crypto.Cipher import AES

from tests.peers.feishu.world import shaped

ENCRYPT_KEY = "canaryEncryptKey7QxOfPeer"
VERIFICATION_TOKEN = "canaryToken7QxOfPeer"
BOT = "ou_thebot0123456789"
SENDER = "ou_alice0123456789"
CHAT = "oc_5ad11d72b830411d72b836c20"
_numbers = itertools.count(1)


def seal(told: bytes, key: str = ENCRYPT_KEY) -> bytes:
    """The body of a request whose content is sealed."""
    padded = told + bytes([16 - len(told) % 16]) * (16 - len(told) % 16)
    start = os.urandom(16)
    sealed = start + AES.new(hashlib.sha256(key.encode()).digest(), AES.MODE_CBC, start).encrypt(padded)
    return json.dumps({"encrypt": base64.b64encode(sealed).decode()}).encode()


@dataclass
class Letter:
    """A request as it is sent."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def sign(body: bytes, *, key: str = ENCRYPT_KEY, at: float | None = None, nonce: str = "782391") -> Letter:
    moment = str(int(time.time() if at is None else at))
    signature = hashlib.sha256((moment + nonce + key).encode() + body).hexdigest()
    headers = {
        "X-Lark-Request-Timestamp": moment, "X-Lark-Request-Nonce": nonce, "X-Lark-Signature": signature,
        "Content-Type": "application/json; charset=utf-8",
    }  # fmt: skip
    return Letter(body, headers)


def letter(told: dict[str, Any], *, key: str = ENCRYPT_KEY, at: float | None = None) -> Letter:
    """Something sealed and signed."""
    return sign(seal(json.dumps(told).encode(), key), key=key, at=at)


def challenge(text: str = "ajls384kdjx98XX", *, key: str = ENCRYPT_KEY, token: str = VERIFICATION_TOKEN) -> Letter:
    """The question whether somebody is here: sealed, and not signed."""
    told = {"challenge": text, "token": token, "type": "url_verification"}
    return Letter(seal(json.dumps(told).encode(), key), {"Content-Type": "application/json"})


def event(type: str, told: dict[str, Any], *, app_id: str, event_id: str = "", token: str = VERIFICATION_TOKEN) -> Any:
    """An event of version 2."""
    header = shaped(
        "event header", event_id=event_id or f"5e3702a84e847582be8db7fb{next(_numbers):08d}", event_type=type,
        app_id=app_id, token=token,
    )  # fmt: skip
    return {"schema": "2.0", "header": header, "event": told}


def message(
    text: str = "@_user_1 What sleeps?", *, sender: str = SENDER, mentions: tuple[str, ...] = (BOT,), private: bool = False,
    **said: Any,
) -> dict[str, Any]:  # fmt: skip
    """What `im.message.receive_v1` tells: who is mentioned stands in the text as @_user_1, @_user_2."""
    named = [
        shaped("mention", key=f"@_user_{number}", id={"union_id": "on_x", "user_id": "x", "open_id": open_id})
        for number, open_id in enumerate(mentions, 1)
    ]
    told = {
        "message_id": f"om_5ce6d572455d361153b7cb{next(_numbers):08d}",
        "chat_type": "p2p" if private else "group",
        "content": json.dumps({"text": text}),
        "mentions": named,
    } | said
    who = {"union_id": "on_x", "user_id": "x", "open_id": sender}
    return {"sender": shaped("event sender", sender_id=who), "message": shaped("event message", **told)}


def press(value: dict[str, Any], *, message: str, sender: str = SENDER) -> dict[str, Any]:
    """What `card.action.trigger` tells: who pressed the button with this value, on which message."""
    told = shaped("card.action.trigger")
    told["operator"]["open_id"] = sender
    told["action"]["value"] = value
    told["context"]["open_message_id"] = message
    return told
