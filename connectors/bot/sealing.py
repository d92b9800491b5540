"""What Feishu sends: sealed with the encrypt key that both sides know, and signed with it.

As https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case
says: AES-256-CBC under the SHA-256 of the key, the first block is the vector, PKCS#7; the signature is the SHA-256 of time, nonce,
key and body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

#: How far the time of a request may be from ours, in seconds. Feishu sends an event again for some seven hours, and doesn't
#: say whether it signs it anew; what is sent again within that time was taken already.
FRESH_SECONDS: Final = 8 * 3600
_BLOCK: Final = 16


class Unbelieved(Exception):
    """It isn't from Feishu, or not for this connector. The message is for the operator's log."""


def opened(body: bytes, key: str) -> dict[str, Any]:
    """Return what was sealed with the key. Raises Unbelieved."""
    try:
        sealed = base64.b64decode(json.loads(body)["encrypt"], validate=True)
        if len(sealed) < 2 * _BLOCK or len(sealed) % _BLOCK:
            raise Unbelieved("it isn't sealed as it should be")
        mode = modes.CBC(sealed[:_BLOCK])
        cipher = Cipher(algorithms.AES(hashlib.sha256(key.encode()).digest()), mode).decryptor()
        padded = cipher.update(sealed[_BLOCK:]) + cipher.finalize()
        unpadder = padding.PKCS7(_BLOCK * 8).unpadder()
        told = json.loads(unpadder.update(padded) + unpadder.finalize())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unbelieved("it can't be opened with the connector's key") from error
    if not isinstance(told, dict):
        raise Unbelieved("it is no object")
    return told


def is_signed(body: bytes, headers: Mapping[str, str], *, key: str, now: float) -> bool:
    """Whether the body was signed with the key, within the last hours."""
    at, nonce = headers.get("X-Lark-Request-Timestamp", ""), headers.get("X-Lark-Request-Nonce", "")
    if not re.fullmatch(r"[0-9]{1,12}", at) or abs(now - int(at)) > FRESH_SECONDS:
        return False
    signature = hashlib.sha256((at + nonce + key).encode("utf-8", "replace") + body).hexdigest()
    return is_same(headers.get("X-Lark-Signature", ""), signature)


def is_same(given: object, known: str) -> bool:
    """Whether this is the text that we know, told in the same time either way."""
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())
