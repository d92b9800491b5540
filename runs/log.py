"""The event log: one function writes it, and nothing else may.

`append` takes the row lock, checks the fencing number and the transition, and draws the sequence numbers in one
`UPDATE … RETURNING`; the events and the wake-up follow in the same transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection, models, transaction
from django.db.models.sql import UpdateQuery

from openintern.ids import span_id
from openintern.redaction import redact
from openintern.text import storable
from runs.events import Draft
from runs.models import Event, LiveText, Run

#: `NOTIFY` channel of everything that is seen live. The payload is "<schema>:<run id>" for what is new in a run;
#: what else there is in an organisation has other names there: "<schema>:board:<group id>", "<schema>:syncs".
CHANNEL = "openintern_run"


class StaleAttempt(Exception):
    """The run has gone on without this writer: it was cancelled, taken over or has ended. Nothing was written."""


@dataclass(frozen=True)
class Appended:
    """What a write did: the new events, without what the database gave them (`id`, `at`), and the last number before."""

    events: list[Event]
    previous_seq: int


def append(run: Run, *drafts: Draft, fence: models.Q | None = None, **changes: Any) -> Appended:
    """Write events and the run's `changes` in one step, and wake whoever watches.

    Locks the run's row until the caller's transaction ends. `fence` defaults to the attempt that `run` carries;
    what can't be stored of a text becomes U+FFFD, secrets are redacted; a change of `status` is held against `Run.TRANSITIONS`. Raises StaleAttempt if the row no longer matches.
    `run` is brought up to date with what was written.
    """
    changes, _ = redact(storable(changes))
    with transaction.atomic(savepoint=False):  # whoever can't write has lost the run: nothing of theirs may stay
        last_seq = _advance(run, count=len(drafts), fence=fence, changes=changes)
        previous, step = last_seq - len(drafts), run.step
        for name, value in changes.items():
            if not isinstance(value, models.expressions.Combinable):
                setattr(run, name, value)
        run.last_seq = last_seq
        events = [_event(run, draft, seq=previous + number, step=step) for number, draft in enumerate(drafts, 1)]
        _copy(events)
        if run.is_final:
            LiveText.objects.filter(pk=run.pk).delete()
        notify(CHANNEL, run.pk)
    return Appended(events, previous)


def notify(channel: str, name: str) -> None:
    """Send "<schema>:<name>" when the current transaction commits (at once where there is none)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, f"{connection.schema_name}:{name}"])  # type: ignore[attr-defined]


def _advance(run: Run, *, count: int, fence: models.Q | None, changes: dict[str, Any]) -> int:
    """Draw `count` numbers and apply `changes` where the fence holds; return the last number drawn."""
    rows = Run.objects.filter(fence or models.Q(attempt=run.attempt), pk=run.pk, status__in=_origins(changes))
    query = rows.order_by().query.chain(UpdateQuery)
    query.add_update_values({"last_seq": models.F("last_seq") + count, **changes})  # type: ignore[attr-defined]
    sql, params = query.get_compiler(connection=connection).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} RETURNING last_seq", params)
        row = cursor.fetchone()
    if row is None:
        raise StaleAttempt(run.pk)
    return int(row[0])


_COPY = """
    COPY runs_event (run_id, seq, type, step, attempt, agent_id, span_id, payload, contains_secrets) FROM STDIN
"""


def _copy(events: list[Event]) -> None:
    """Write the rows. PostgreSQL logs rows that are copied together as one record, those of an INSERT one by one."""
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for one in events:
            payload = json.dumps(one.payload)
            copy.write_row(
                (one.run_id, one.seq, one.type, one.step, one.attempt, one.agent_id, one.span_id, payload, one.contains_secrets)
            )  # fmt: skip


def _origins(changes: dict[str, Any]) -> tuple[str, ...]:
    """From which states a write with these changes may come: none of them is final."""
    if "status" in changes:
        return Run.TRANSITIONS[changes["status"]]
    return tuple(Run.Status.unfinished())


def _event(run: Run, draft: Draft, *, seq: int, step: int) -> Event:
    payload, contains_secrets = redact(storable(draft.payload))
    return Event(
        run_id=run.pk,
        seq=seq,
        type=draft.type,
        step=step if draft.step is None else draft.step,
        attempt=run.attempt,
        agent_id=draft.agent_id or run.agent_id,
        span_id=span_id(),
        payload=payload,
        contains_secrets=contains_secrets,
    )
