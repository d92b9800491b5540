"""Public identifiers: a prefix that tells the kind, and randomness that can't be guessed."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 22  # 62^22 is 131 bits: ids of others can't be found by trying


def new_id(prefix: str) -> str:
    """Return `<prefix>_` and 22 random letters and digits (131 bits)."""
    return f"{prefix}_" + random_text(_LENGTH)


def span_id() -> str:
    """Return an id for a span: unique within a run, which is all it has to be."""
    return "sp_" + random_text(12)


def random_text(length: int) -> str:
    """Return `length` random letters and digits from the system's source."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
