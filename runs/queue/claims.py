"""Which run is next: one statement decides.

An organisation's turn comes by how few runs it has going, then by how long ago it was served: opening more
sessions buys nothing. One whose schema isn't up to date waits until it is. Within an organisation the oldest ticket whose lane is free is next, under the caps per organisation and
per model. Claims are serialised by an advisory lock for the millisecond they take, which makes the caps exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction

from openintern.tenancy import schemas

LEASE_SECONDS = 10
#: A run whose workers die this often without getting on is given up.
MAX_LOSSES = 3
_CLAIM_LOCK = 0x6F69_0001  # any number that nobody else uses

_CLAIMABLE = """
    SELECT candidate.id, turn.organization_id
    FROM queue_turn AS turn
    JOIN tenancy_organization AS org ON org.id = turn.organization_id AND org.is_active AND org.migrated_to = %(fingerprint)s
    CROSS JOIN LATERAL (
        SELECT count(*) AS running FROM queue_ticket AS leased
        WHERE leased.organization_id = org.id AND leased.lease_expires_at >= clock_timestamp()
    ) AS load
    CROSS JOIN LATERAL (
        SELECT ticket.id FROM queue_ticket AS ticket
        WHERE ticket.organization_id = org.id
          AND ticket.available_at <= clock_timestamp()
          AND (ticket.lease_expires_at IS NULL OR ticket.lease_expires_at < clock_timestamp())
          AND NOT EXISTS (
              SELECT 1 FROM queue_ticket AS earlier
              WHERE earlier.organization_id = org.id AND earlier.session_id = ticket.session_id AND earlier.id < ticket.id
          )
          AND ticket.model <> ALL(%(full_models)s)
        ORDER BY ticket.id
        LIMIT 1
        {lock}
    ) AS candidate
    WHERE load.running < org.max_concurrent_runs
    ORDER BY load.running, turn.served_at
    LIMIT 1
"""

_CLAIM = f"""
    WITH next AS ({_CLAIMABLE.format(lock="FOR UPDATE SKIP LOCKED")}),
    served AS (
        UPDATE queue_turn SET served_at = clock_timestamp() FROM next WHERE queue_turn.organization_id = next.organization_id
    )
    UPDATE queue_ticket AS ticket
    SET attempt = ticket.attempt + 1,
        losses = CASE WHEN ticket.lease_expires_at IS NULL THEN 0 ELSE ticket.losses + 1 END,
        leased_by = %(owner)s,
        lease_expires_at = clock_timestamp() + %(lease)s * interval '1 second'
    FROM next WHERE ticket.id = next.id
    RETURNING ticket.id, ticket.organization_id, ticket.run_id, ticket.attempt, ticket.losses, ticket.step_at_claim
"""  # noqa: S608  both parts are ours


COUNT_CLAIMABLE = """
    SELECT count(*) FROM (
        SELECT 1 FROM public.queue_ticket AS ticket
        WHERE ticket.available_at <= clock_timestamp()
          AND (ticket.lease_expires_at IS NULL OR ticket.lease_expires_at < clock_timestamp())
          AND NOT EXISTS (
              SELECT 1 FROM public.queue_ticket AS earlier
              WHERE earlier.organization_id = ticket.organization_id
                AND earlier.session_id = ticket.session_id AND earlier.id < ticket.id
          )
        LIMIT %(limit)s
    ) AS lane
"""


@dataclass(frozen=True)
class Claim:
    """A ticket in a worker's hands. `attempt` is the fencing number of everything it writes."""

    ticket_id: int
    organization_id: int
    run_id: str
    attempt: int
    losses: int
    step_at_claim: int


def claim(owner: str) -> Claim | None:
    """Claim the next run for `owner`, or return None if there is nothing to do. Commits."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CLAIM_LOCK])
        cursor.execute(
            _CLAIM,
            {
                "owner": owner,
                "lease": LEASE_SECONDS,
                "full_models": _full_models(),
                "fingerprint": schemas.fingerprint(),
            },
        )
        row = cursor.fetchone()
    return Claim(*row) if row else None


def count_claimable_lanes(*, limit: int) -> int:
    """Return how many runs could be claimed now, as far as it matters to waking `limit` workers."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ({COUNT_CLAIMABLE})", {"limit": limit})
        return int(cursor.fetchone()[0])


def _full_models() -> list[str]:
    """The models that have as many runs going as the operator allows."""
    caps: dict[str, int] = dict(settings.CONFIG.agent.model_limits)
    if not caps:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT model, count(*) FROM queue_ticket WHERE lease_expires_at >= clock_timestamp() AND model = ANY(%s) GROUP BY model",
            [list(caps)],
        )
        return [model for model, running in cursor.fetchall() if running >= caps[model]]
