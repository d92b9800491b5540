"""Asking the model for the next turn, with its text shown live and its retries in the log."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from openintern.redaction import redact, redact_text
from runs import budgets
from runs.engine import spans
from runs.engine.recall import most_recalled, recall
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm import context
from runs.llm.ask import ask
from runs.llm.types import Answer, ModelSpec, Request, Retry, ToolCall
from runs.tools.registry import tools


def ask_model(work: Work) -> Answer:
    """Buy one answer.

    Raises OverBudget before anything is bought, ModelError when the provider can't or won't, Stopped when the run is over.
    """
    messages = work.conversation()
    work.recalled = recall(work.run, work.scope, messages, heard=work.earlier_ids, agent_id=work.turn.agent_id)
    reminded = [*messages, work.recalled.message()] if work.recalled else messages
    request = Request(spec=ModelSpec(**work.turn.config["model"]), messages=reminded, tools=definitions(work))
    work.estimated_tokens = context.estimate(request.messages, request.tools)
    _hold(work, request)
    begun = time.monotonic()
    with spans.model_call(request, agent_id=work.turn.agent_id) as span:
        answer = ask(
            request,
            stop=work.stop,
            on_text=work.live.add,
            on_silence=work.live.catch_up,
            on_retry=lambda retry: _retried(work, retry),
        )
        span.answered(answer)
    work.answered_in_ms = round((time.monotonic() - begun) * 1000)
    return _without_secrets(_with_new_ids(answer, work))


def hold_ahead(work: Work) -> None:
    """Hold what the next call may cost, in the transaction that ends the step before it. Where none applied, none will."""
    if work.is_budgeted:
        messages = [*work.conversation(), most_recalled()]
        request = Request(spec=ModelSpec(**work.turn.config["model"]), messages=messages, tools=definitions(work))
        work.held = budgets.hold_ahead(work.run, request, at=timezone.now())


def _hold(work: Work, request: Request) -> None:
    """Hold what the call may cost. That was done with the step before, unless more was said since, or it was too much."""
    if work.held is None or not budgets.covers(work.held, request):
        if work.held is not None:
            with transaction.atomic():
                work.lock()
                budgets.release(work.run)
        work.held = budgets.reserve(work.run, request, at=timezone.now())
    work.is_budgeted = work.held is not None


def definitions(work: Work) -> list[dict[str, Any]]:
    """Return how the model is told of the tools it is offered: the same in every step, so that it can be cached."""
    registered = tools()
    return [registered[name].definition() for name in work.turn.config["tools"] if name in registered]


def _with_new_ids(answer: Answer, work: Work) -> Answer:
    """Rename calls whose id an earlier call of the run had: a model that is shown a summary of that one may use it again."""
    seed = f"{work.run.pk}:{work.run.step}"
    calls = [
        replace(call, id="call_" + hashlib.sha256(f"{seed}:{place}".encode()).hexdigest()[:24])
        if call.id in work.call_ids
        else call
        for place, call in enumerate(answer.tool_calls)
    ]
    return replace(answer, tool_calls=tuple(calls))


def _without_secrets(answer: Answer) -> Answer:
    """Return the answer as it will be stored: what acts on it now, and what would after a crash, act on the same."""
    calls = tuple(_call_without_secrets(call) for call in answer.tool_calls)
    return replace(answer, text=redact_text(answer.text), tool_calls=calls)


def _call_without_secrets(call: ToolCall) -> ToolCall:
    if call.arguments is None:
        return replace(call, raw=redact_text(call.raw))
    arguments, found = redact(call.arguments)
    return replace(call, arguments=arguments, raw=json.dumps(arguments, ensure_ascii=False)) if found else call


def _retried(work: Work, retry: Retry) -> None:
    work.live.start_over()
    payload = {"stepNumber": work.run.step, "attempt": retry.attempt, "reason": retry.reason, "delayMs": retry.delay_ms}
    work.record(Draft(EventType.STEP_RETRIED, payload | ({"message": retry.message} if retry.message else {})))
