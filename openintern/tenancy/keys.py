"""API keys: `oi_<prefix>_<secret><checksum>`.

The prefix (12 characters) finds the row, the secret (43 characters, 256 bits) proves it, the checksum
(8 hex digits of CRC-32) lets a scanner or a typing mistake be told from a key without a look-up.
Only a SHA-256 of the whole key is stored: 256 random bits need no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction

from openintern.errors import Invalid, OpenInternError
from openintern.ids import random_text
from openintern.tenancy import audit
from openintern.tenancy.models import ApiKey, Organization, User
from openintern.tenancy.policy import KEY_SCOPES
from openintern.tenancy.roles import Role

_LAST_USED_PRECISION = timedelta(minutes=1)  # one write a minute, however busy the key


@transaction.atomic
def create_api_key(
    *,
    org: Organization,
    user: User,
    scopes: Iterable[str] = ("read", "write"),
    name: str = "",
    expires_at: datetime | None = None,
    at_most: Role = Role.OWNER,
    by: User | None = None,
    via: str = "command",
) -> tuple[ApiKey, str]:
    """Make a key for a member and return it with its text, which can't be had a second time.

    `at_most` is the role of whoever makes it: no key may do more. Raises VALIDATION_ERROR for an unknown scope
    or somebody who isn't a member, FORBIDDEN for a key that would reach further than `at_most`.
    """
    chosen = sorted(set(scopes))
    if unknown := set(chosen) - set(KEY_SCOPES):
        raise Invalid("scopes", f"Unknown scope: {', '.join(sorted(unknown))}")
    membership = org.memberships.filter(user=user, user__is_active=True).first()
    if membership is None:
        raise Invalid("user", f"{user.username} is not a member of {org.slug}")
    reach = Role.OWNER if "act_as" in chosen else Role(membership.role)
    if not at_most.includes(reach):
        raise OpenInternError("FORBIDDEN", "Nobody can make a key that may do more than they may")
    prefix = random_text(12)
    text = _text(prefix, secrets.token_urlsafe(32))
    key = ApiKey.objects.create(
        organization=org,
        user=user,
        name=name,
        prefix=prefix,
        digest=_digest(text),
        scopes=chosen,
        expires_at=expires_at,
    )
    audit.record(
        "api_key.create",
        org=org,
        actor=by or user,
        via=via,
        object_id=prefix,
        details={"for": user.username, "scopes": chosen},
    )
    return key, text


def find_api_key(text: str, *, at: datetime) -> ApiKey | None:
    """Return the usable key that `text` is, or None."""
    key = recognise(text)
    if key is None or not key.is_usable(at=at):
        return None
    if key.last_used_at is None or at - key.last_used_at > _LAST_USED_PRECISION:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
    return key


def recognise(text: str) -> ApiKey | None:
    """Return the key that `text` is, usable or not, or None. Compares in constant time."""
    prefix = _prefix(text)
    key = ApiKey.objects.select_related("user", "organization").filter(prefix=prefix or "").first() if prefix else None
    matches = hmac.compare_digest(_digest(text), key.digest if key else _digest(""))
    return key if key is not None and matches else None


@transaction.atomic
def revoke_api_key(key: ApiKey, *, by: User, at: datetime, via: str = "session") -> None:
    """End a key at once; a second time changes nothing."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=at):
        audit.record("api_key.revoke", org=key.organization, actor=by, via=via, object_id=key.prefix)


def _text(prefix: str, secret: str) -> str:
    body = f"oi_{prefix}_{secret}"
    return body + _checksum(body)


def _prefix(text: str) -> str | None:
    """Return the prefix of a well-formed key, None for anything else."""
    if len(text) != 67 or not text.startswith("oi_") or not text.isascii():
        return None
    body, checksum = text[:-8], text[-8:]
    return text[3:15] if hmac.compare_digest(_checksum(body), checksum) else None


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
