"""`Idempotency-Key`: the same request, sent twice, is carried out once.

A run keeps the key that started it, so that every door to it finds it again, for as long as it is there. For everything
else the answer is kept, in the transaction of what the request did. A request that comes while the first is still under
way is told to come back; one with another body has made a mistake; one whose first try was refused may try again.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from openintern.errors import Invalid, OpenInternError
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each
from openintern.tenancy.scope import Scope
from runs.models import KeptAnswer, Run

LONGEST_KEY: Final = 255
KEPT_FOR: Final = timedelta(days=7)
_BATCH: Final = 1000


def digest(request: dict[str, Any]) -> str:
    """Return a fingerprint of what was asked for."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()


def earlier_run(scope: Scope, key: str, *, request_digest: str) -> Run | None:
    """Return the run that this key has started, or None; see `earlier_answer`."""
    _hold(scope, key)
    run = Run.objects.select_related("session").filter(user=scope.user, idempotency_key=key).first()
    _require_same(run.request_digest if run else None, request_digest)
    return run


def earlier_answer(scope: Scope, key: str, *, request_digest: str) -> KeptAnswer | None:
    """Return what this key was answered, or None; then the key is the caller's until its transaction ends.

    Raises CONFLICT while another request holds the key, IDEMPOTENCY_MISMATCH if it was used for something else.
    """
    _hold(scope, key)
    answer = KeptAnswer.objects.filter(user=scope.user, key=key).first()
    _require_same(answer.request_digest if answer else None, request_digest)
    return answer


def _hold(scope: Scope, key: str) -> None:
    if not (key.isascii() and key.isprintable() and 0 < len(key) <= LONGEST_KEY):
        raise Invalid("Idempotency-Key", f"Must be 1 to {LONGEST_KEY} printable ASCII characters")
    with connection.cursor() as cursor:
        name = f"{connection.schema_name}:{scope.user.pk}:{key}"  # type: ignore[attr-defined]
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        if not cursor.fetchone()[0]:
            raise OpenInternError(
                "CONFLICT", "A request with this Idempotency-Key is under way", details={"retry_after": 1}
            )


def _require_same(earlier: str | None, request_digest: str) -> None:
    if earlier is not None and earlier != request_digest:
        raise OpenInternError("IDEMPOTENCY_MISMATCH", "This Idempotency-Key was used for another request")


def keep_answer(
    scope: Scope, key: str, *, request_digest: str, status: int, body: str, headers: dict[str, str]
) -> None:
    """Keep what was answered, in the transaction of what was done."""
    KeptAnswer.objects.create(
        user=scope.user, key=key, request_digest=request_digest, status=status, body=body, headers=headers
    )


def forget_all() -> None:
    """Remove the answers that nobody asks for again; called by the daily schedule."""
    forget_answers(at=timezone.now())


def forget_answers(*, at: datetime) -> None:
    """Remove, in every organisation, the answers that are older than KEPT_FOR at `at`."""
    in_each(
        Organization.objects.filter(is_active=True),
        lambda _: _forget(before=at - KEPT_FOR),
        doing="tidying kept answers",
    )


def _forget(*, before: datetime) -> int:
    gone, old = 0, KeptAnswer.objects.filter(created_at__lt=before)
    while ids := list(old.values_list("pk", flat=True)[:_BATCH]):
        gone += KeptAnswer.objects.filter(pk__in=ids).delete()[0]
    return gone
