"""`Idempotency-Key`: the same request, sent twice, starts one run.

The key stands on the run itself, so it commits with it and lasts as long. A request that comes while the first is still
under way is told to come back; one with another body has made a mistake.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import connection

from openintern.errors import Invalid, OpenInternError
from openintern.tenancy.scope import Scope
from runs.models import Run

LONGEST_KEY = 255


def digest(request: dict[str, Any]) -> str:
    """Return a fingerprint of what was asked for."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()


def earlier_run(scope: Scope, key: str, *, request_digest: str) -> Run | None:
    """Return the run that this key has started, or None; then the key is the caller's until its transaction ends.

    Raises CONFLICT while another request holds the key, IDEMPOTENCY_MISMATCH if it was used for something else.
    """
    if not (key.isascii() and key.isprintable() and len(key) <= LONGEST_KEY):
        raise Invalid("Idempotency-Key", f"Must be at most {LONGEST_KEY} printable ASCII characters")
    with connection.cursor() as cursor:
        name = f"{connection.schema_name}:{scope.user.pk}:{key}"  # type: ignore[attr-defined]
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        if not cursor.fetchone()[0]:
            raise OpenInternError(
                "CONFLICT", "A request with this Idempotency-Key is under way", details={"retry_after": 1}
            )
    run = Run.objects.select_related("session").filter(user=scope.user, idempotency_key=key).first()
    if run is not None and run.request_digest != request_digest:
        raise OpenInternError("IDEMPOTENCY_MISMATCH", "This Idempotency-Key was used for another request")
    return run
