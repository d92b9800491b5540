"""How a message is signed, as Standard Webhooks says: what a receiver checks with any library for it.

The signature is over `<id>.<timestamp>.<body>`; each secret that is in force makes one. A receiver refuses what is older
than a few minutes, and what it has had already by its id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"


def new_secret() -> str:
    """Return a secret as receivers' libraries take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode("ascii")


def headers(message_id: str, body: bytes, *, keys: Sequence[str], timestamp: int) -> dict[str, str]:
    """Return the headers that prove who sent the body, and when."""
    told = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(key, told) for key in keys),
    }


def _signature(key: str, told: bytes) -> str:
    digest = hmac.new(base64.b64decode(key.removeprefix(PREFIX)), told, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")
