"""The event log: one function writes it, and nothing else may.

`append` takes the row lock, checks the fencing number and the transition, and draws the sequence numbers in one
`UPDATE … RETURNING`; the events and the wake-up follow in the same transaction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from openintern.ids import span_id
from openintern.redaction import redact
from openintern.text import storable
from runs.events import Draft
from runs.models import Event, Run

#: `NOTIFY` channel of everything that is seen live. The payload is "<schema>:<run id>" for what is new in a run;
#: what else there is in an organisation has other names there: "<schema>:board:<group id>", "<schema>:syncs".
CHANNEL = "openintern_run"

_FIELDS = {field.name: field for field in Run._meta.concrete_fields}  # noqa: SLF001  Django's name for what is public


class StaleAttempt(Exception):
    """The run has gone on without this writer: it was cancelled, taken over or has ended. Nothing was written."""


@dataclass(frozen=True)
class Appended:
    """What a write did: the new events, without what the database gave them (`id`, `at`), and the last number before."""

    events: list[Event]
    previous_seq: int


def append(run: Run, *drafts: Draft, takes_over: int | None = None, **changes: Any) -> Appended:
    """Write events and the run's `changes` in one step, and wake whoever watches.

    Locks the run's row until the caller's transaction ends. Only the attempt that `run` carries may write, or one with a
    higher number that `takes_over` from it and all before. What can't be stored of a text becomes U+FFFD, secrets are
    redacted; a change of `status` is held against `Run.TRANSITIONS`. Raises StaleAttempt if the row no longer matches.
    `run` is brought up to date with what was written.
    """
    changes, _ = redact(storable(changes))
    if takes_over is not None:
        changes["attempt"] = takes_over
    with transaction.atomic(savepoint=False):  # whoever can't write has lost the run: nothing of theirs may stay
        last_seq = _advance(run, count=len(drafts), is_taken_over=takes_over is not None, changes=changes)
        previous, step = last_seq - len(drafts), run.step
        for name, value in changes.items():
            setattr(run, name, value)
        run.last_seq = last_seq
        events = [_event(run, draft, seq=previous + number, step=step) for number, draft in enumerate(drafts, 1)]
        _copy(events)
        if run.is_final:
            remove_live_text(run)
    return Appended(events, previous)


def notify(channel: str, name: str) -> None:
    """Send "<schema>:<name>" when the current transaction commits (at once where there is none)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [channel, _note(name)])


def remove_live_text(run: Run) -> None:
    """Remove what the run's agent was saying, for it is in the log now, or won't be."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM runs_livetext WHERE run_id = %s", [run.pk])


def _note(name: str) -> str:
    return f"{connection.schema_name}:{name}"  # type: ignore[attr-defined]


#: Written out, and not composed by Django: it is sent several times in every step, and composing takes longer than it.
_ADVANCE = """
    WITH advanced AS (
        UPDATE runs_run SET last_seq = last_seq + %s{changes}
        WHERE id = %s AND attempt {fence} %s AND status = ANY (%s) RETURNING last_seq
    )
    SELECT last_seq, pg_notify(%s, %s) FROM advanced
"""


def _advance(run: Run, *, count: int, is_taken_over: bool, changes: dict[str, Any]) -> int:
    """Draw `count` numbers and apply `changes` where the fence holds, and wake; return the last number drawn."""
    fields = [_FIELDS[name] for name in changes]
    statement = _ADVANCE.format(
        changes="".join(f', "{field.column}" = %s' for field in fields), fence="<" if is_taken_over else "="
    )
    values = [field.get_db_prep_save(changes[field.name], connection) for field in fields]
    attempt = changes["attempt"] if is_taken_over else run.attempt
    with connection.cursor() as cursor:
        cursor.execute(statement, [count, *values, run.pk, attempt, _origins(changes), CHANNEL, _note(run.pk)])
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


def _origins(changes: dict[str, Any]) -> list[str]:
    """From which states a write with these changes may come: none of them is final."""
    origins = Run.TRANSITIONS[changes["status"]] if "status" in changes else Run.Status.unfinished()
    return [str(status) for status in origins]


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
