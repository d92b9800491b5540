"""Tool calls as rows: claimed before they run, settled with their result, judged after a crash.

| after a crash the row is | the call                                                                  |
|--------------------------|---------------------------------------------------------------------------|
| done                     | has its result in the log                                                 |
| planned                  | never began: it runs                                                      |
| started                  | may or may not have happened: the tool's recovery class says what follows |
| awaited                  | has begun, and somebody else brings its result (`runs.delivery`)          |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from runs.engine.batch import Planned, Result
from runs.models import Effect, Run
from runs.tools.registry import Later, ToolContext

#: These two are part of every step, and written out: composing them takes Django longer than PostgreSQL takes to do them.
_CLAIM = """
    INSERT INTO runs_effect (run_id, tool_call_id, step, ordinal, tool, args_hash, recovery, status, attempt, rule)
    VALUES (%(run)s, %(call)s, %(step)s, %(ordinal)s, %(tool)s, %(args_hash)s, %(recovery)s, %(status)s, %(attempt)s, %(rule)s)
"""
_DONE = "UPDATE runs_effect SET status = %s WHERE run_id = %s AND tool_call_id = ANY (%s)"


def claim(run: Run, rounds: Sequence[Sequence[Planned]], *, begin: bool) -> None:
    """Write a row for every call. Those of the first round are started with this transaction, if they `begin` now.

    A later call whose outcome nobody could tell is only planned: it is started by `start`, just before it runs.
    """
    rows: list[dict[str, str | int]] = [
        {
            "run": run.pk,
            "call": one.call.id,
            "step": run.step,
            "ordinal": ordinal,
            "tool": one.tool.name,
            "args_hash": args_hash(one.call.arguments),
            "recovery": one.tool.recovery,
            "status": Effect.Status.STARTED if begin and not (number and is_unsure(one)) else Effect.Status.PLANNED,
            "attempt": run.attempt,
            "rule": one.rule,
        }
        for number, calls in enumerate(rounds)
        for ordinal, one in enumerate(calls)
    ]
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(_CLAIM, row)


def start(run: Run, calls: Iterable[Planned]) -> None:
    """Mark calls as begun, in the transaction before they are."""
    _rows(run, [one.call.id for one in calls]).update(status=Effect.Status.STARTED, attempt=run.attempt)


def start_planned(run: Run, calls: Iterable[Planned]) -> None:
    """Mark calls that waited for a decision as begun, but for those that `start` marks one by one."""
    waited = _rows(run, [one.call.id for one in calls if not is_unsure(one)]).filter(status=Effect.Status.PLANNED)
    waited.update(status=Effect.Status.STARTED, attempt=run.attempt)


def settle(run: Run, results: Iterable[Result]) -> None:
    """Mark calls as done, in the transaction that holds their results; those that answer later, as awaited."""
    results = list(results)
    with connection.cursor() as cursor:
        done = [result.call.id for result in results if not result.later]
        cursor.execute(_DONE, [Effect.Status.DONE, run.pk, done])
    for result in results:
        if result.later:
            _put_off(run, result.call.id, result.later)


def _put_off(run: Run, call_id: str, later: Later) -> None:
    _rows(run, [call_id]).update(
        status=Effect.Status.AWAITED,
        awaits_kind=later.kind,
        awaits_reference=later.reference,
        awaits_until=Now() + later.within,
    )


def undelivered(run: Run, results: Sequence[Result]) -> list[Result]:
    """Return the results of calls for which nobody else has brought one. The run's row is locked, so that it stays so."""
    ids = [result.call.id for result in results if result.may_be_delivered]
    if not ids:
        return list(results)
    delivered = set(_rows(run, ids).filter(status=Effect.Status.DONE).values_list("tool_call_id", flat=True))
    return [result for result in results if result.call.id not in delivered]


def awaited(run: Run) -> list[Effect]:
    """Return the calls of the current step that somebody else has to answer, the one that runs out first in front."""
    rows = Effect.objects.filter(run=run, step=run.step, status=Effect.Status.AWAITED)
    return list(rows.order_by("awaits_until", "ordinal"))


def expire(run: Run) -> list[Effect]:
    """Give up the calls that nobody has answered in time, and return them. The run's row is locked."""
    overdue = list(Effect.objects.filter(run=run, status=Effect.Status.AWAITED, awaits_until__lte=Now()).order_by("pk"))
    Effect.objects.filter(pk__in=[row.pk for row in overdue]).update(status=Effect.Status.DONE)
    return overdue


def doubt(run: Run, tool_call_id: str) -> None:
    """Mark a call as in doubt: a person has to say what became of it."""
    _rows(run, [tool_call_id]).update(status=Effect.Status.IN_DOUBT)


@dataclass
class Recovered:
    """What a resumed step finds: calls that still have to run, results that could be found out, calls in doubt.

    `awaited` are the ids of those that somebody else answers, whatever policy would say of them by now.
    """

    todo: list[Planned] = field(default_factory=list)
    found: list[Result] = field(default_factory=list)
    in_doubt: list[Planned] = field(default_factory=list)
    awaited: set[str] = field(default_factory=set)


def recover(run: Run, planned: Sequence[Planned], *, context: Callable[[Planned], ToolContext]) -> Recovered:
    """Judge every call of the current step after a crash. Asks tools that can be asked; changes nothing."""
    rows = {effect.tool_call_id: effect for effect in Effect.objects.filter(run=run, step=run.step)}
    recovered = Recovered(awaited={row.tool_call_id for row in rows.values() if row.status == Effect.Status.AWAITED})
    for one in planned:
        row = rows.get(one.call.id)
        if row is None:  # refused when it was asked for; that stands, whatever is allowed by now
            recovered.found.append(Result(one.call, error="Blocked: this call was refused", code="BLOCKED"))
            continue
        match row.status, one.tool.recovery:
            case Effect.Status.DONE | Effect.Status.AWAITED, _:
                pass
            case Effect.Status.PLANNED, _:
                recovered.todo.append(one)
            case Effect.Status.IN_DOUBT, _:
                recovered.in_doubt.append(one)
            case _, Effect.Recovery.UNSURE:
                recovered.in_doubt.append(one)
            case _, Effect.Recovery.CHECKABLE:
                _look(one, context(one), recovered)
            case _:
                recovered.todo.append(one)
    return recovered


def _look(one: Planned, context: ToolContext, recovered: Recovered) -> None:
    answer = one.tool.check_landed(context, one.call.arguments or {})
    if answer is None:
        recovered.todo.append(one)
        return
    found = Result(
        one.call,
        from_outside=one.tool.from_outside,
        may_be_delivered=one.tool.answers_later,
        news=tuple(context.news),
    )
    told = replace(found, later=answer) if isinstance(answer, Later) else replace(found, value=answer)
    recovered.found.append(told)


def is_unsure(one: Planned) -> bool:
    """Whether a call of this kind must never be repeated by itself."""
    return one.tool.recovery == "unsure"


def args_hash(arguments: dict[str, Any] | None) -> str:
    """Return a digest of a call's arguments that doesn't depend on the order of their keys."""
    text = json.dumps(arguments, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _rows(run: Run, call_ids: list[str]) -> Any:
    return Effect.objects.filter(run=run, tool_call_id__in=call_ids)
