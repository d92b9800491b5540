"""From a model's answer to events, and back: what is logged of a call, and what may run of it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from runs.engine import doom_loop
from runs.engine.batch import Planned, Result, strategy
from runs.events import Draft, EventType
from runs.llm.tool_calls import parse_arguments
from runs.llm.types import Answer, ToolCall, Usage
from runs.models import Effect, Event, Run
from runs.tools.policy import Mandate, Verdict, decide
from runs.tools.registry import ToolError, tools

_BLOCKED = ("BLOCKED", doom_loop.REFUSED)
BLOCKED_TOOL = "tool.blocked"  # by what is known of the tool itself; stands where a policy rule's name stands
NOT_OFFERED = "not_offered"  # by a run that began before there was the tool; stands where a policy rule's name stands


def sort_calls(
    calls: Sequence[ToolCall], *, offered: Sequence[str], mandate: Mandate, is_tainted: bool
) -> tuple[list[Planned], list[Result]]:
    """Return the calls that may run, and the refusals of the others. The same calls always give the same."""
    planned: list[Planned] = []
    refused: list[Result] = []
    for call in calls:
        match _judge(call, offered, mandate, is_tainted=is_tainted):
            case Planned() as one:
                planned.append(one)
            case refusal:
                refused.append(refusal)
    return planned, refused


def _judge(  # noqa: PLR0911  one for each reason to refuse
    call: ToolCall, offered: Sequence[str], mandate: Mandate, *, is_tainted: bool
) -> Planned | Result:
    """Hold a call against what exists, what its schema allows, and what policy allows – in this order."""
    tool = tools().get(call.name)
    if tool is None:
        return Result(call, error=f"Tool not found: {call.name}", code="TOOL_NOT_FOUND")
    if call.arguments is None:
        return Result(call, error=f"Invalid tool arguments: {call.error}", code="INVALID_ARGUMENTS")
    try:
        tool.validate(call.arguments)
    except ToolError as error:
        return Result(call, error=str(error), code="INVALID_ARGUMENTS")
    if tool.blocked:
        return Result(call, error=f"Blocked: {tool.blocked}", code="BLOCKED", rule=BLOCKED_TOOL)
    decision = decide(tool=tool, mandate=mandate, is_tainted=is_tainted)
    if decision.verdict is Verdict.DENY:
        return Result(call, error=f"Blocked: {decision.reason}", code="BLOCKED", rule=decision.rule)
    if call.name not in offered:
        why = f"Blocked: {call.name} was not offered when this run began"
        return Result(call, error=why, code="BLOCKED", rule=NOT_OFFERED)
    return Planned(
        call,
        tool,
        decision.rule,
        risk=mandate.risk_of(tool),
        asks=decision.verdict is Verdict.ASK,
        reason=decision.reason,
        is_tainted=is_tainted,
    )


def llm_called(run: Run, answer: Answer, *, duration_ms: int, heard_seq: int, estimated_tokens: int) -> Draft:
    """The event that stores an answer whole: what a resumed run acts on instead of asking again.

    `heard_seq` is the last event that the model knew of: what was said later, it has yet to answer.
    `estimated_tokens` is what we took the prompt for; with the provider's count it makes later estimates better.
    """
    usage = answer.usage
    payload: dict[str, Any] = {
        "stepNumber": run.step,
        "model": answer.model,
        "promptTokens": usage.prompt_tokens,
        "completionTokens": usage.completion_tokens,
        "totalTokens": usage.prompt_tokens + usage.completion_tokens,
        "cachedTokens": usage.cached_tokens,
        "cost": str(usage.cost) if usage.cost is not None else None,
        "duration_ms": duration_ms,
        "finishReason": answer.finish_reason,
        "truncated": answer.truncated,
        "text": answer.text,
        "heardSeq": heard_seq,
        "estimatedTokens": estimated_tokens,
    }
    if answer.tool_calls:
        payload["toolCalls"] = [
            {"id": call.id, "name": call.name, "arguments": call.raw} | ({"error": call.error} if call.error else {})
            for call in answer.tool_calls
        ]
    return Draft(EventType.LLM_CALLED, payload)


def answer_of(event: Event) -> Answer:
    """Return the answer that `llm_called` stored."""
    payload = event.payload
    cost = payload["cost"]
    return Answer(
        text=payload["text"],
        tool_calls=tuple(_call_of(stored) for stored in payload.get("toolCalls", [])),
        usage=Usage(
            payload["promptTokens"],
            payload["completionTokens"],
            Decimal(cost) if cost is not None else None,
            payload["cachedTokens"],
        ),
        model=payload["model"],
        finish_reason=payload["finishReason"],
        truncated=payload["truncated"],
    )


def _call_of(stored: dict[str, Any]) -> ToolCall:
    arguments, error = parse_arguments(stored["arguments"])
    if told := stored.get("error"):
        arguments, error = None, told
    return ToolCall(stored["id"], stored["name"], arguments, stored["arguments"], error)


def usage_changes(run: Run, answer: Answer) -> dict[str, Any]:
    """The run's new totals. Only the worker that holds the run writes them, so they are plain sums."""
    return {
        "prompt_tokens": run.prompt_tokens + answer.usage.prompt_tokens,
        "completion_tokens": run.completion_tokens + answer.usage.completion_tokens,
        "cost": run.cost + (answer.usage.cost or Decimal(0)),
    }


def batch_started(run: Run, calls: Sequence[ToolCall], planned: Sequence[Planned]) -> Draft:
    """The tool calls of a step begin. The batch is named by its step: there is one in each."""
    return Draft(
        EventType.TOOL_BATCH_STARTED,
        {"batch_id": f"batch_{run.step:04d}", "tool_count": len(calls), "strategy": strategy(planned)},
    )


def batch_completed(run: Run, outcomes: Sequence[bool], *, duration_ms: int) -> Draft:
    """The tool calls of a step are through; `outcomes` says of each whether it succeeded."""
    payload = {
        "batch_id": f"batch_{run.step:04d}",
        "tool_count": len(outcomes),
        "success_count": sum(outcomes),
        "failure_count": len(outcomes) - sum(outcomes),
        "duration_ms": duration_ms,
    }
    return Draft(EventType.TOOL_BATCH_COMPLETED, payload)


def call_drafts(calls: Sequence[ToolCall], planned: Sequence[Planned], refused: Sequence[Result]) -> list[Draft]:
    """The events of each call, in the model's order: `tool.called`, or `tool.blocked` where we say no.

    `tool.requires_approval` follows a call that a person has to decide about.
    """
    may_run = {one.call.id: one for one in planned}
    reasons = {result.call.id: result for result in refused}
    drafts = []
    for call in calls:
        one = may_run.get(call.id)
        drafts.append(_call_draft(call, one, reasons.get(call.id)))
        if one is not None and one.asks:
            drafts.append(_question_draft(one))
    return drafts


def _question_draft(one: Planned) -> Draft:
    return Draft(
        EventType.TOOL_REQUIRES_APPROVAL,
        {
            "toolName": one.tool.name,
            "tool_call_id": one.call.id,
            "args": one.call.arguments,
            "reason": one.reason,
            "rule": one.rule,
            "risk_level": one.risk,
        },
    )


def _call_draft(call: ToolCall, allowed: Planned | None, refusal: Result | None) -> Draft:
    payload: dict[str, Any] = {
        "toolName": call.name,
        "tool_call_id": call.id,
        "args": call.arguments if call.arguments is not None else call.raw,
    }
    if refusal is not None and refusal.code in _BLOCKED:
        tool = tools().get(call.name)
        payload |= {"reason": refusal.error, "risk_level": tool.risk if tool else None}
        return Draft(EventType.TOOL_BLOCKED, payload | ({"rule": refusal.rule} if refusal.rule else {}))
    if allowed is not None:
        payload |= {
            "rule": allowed.rule,
            "risk_level": allowed.risk,
            "recovery": allowed.tool.recovery,
        }
        if allowed.is_tainted:
            payload["tainted"] = True
    return Draft(EventType.TOOL_CALLED, payload)


def result_drafts(results: Sequence[Result], *, order: Sequence[ToolCall] = ()) -> list[Draft]:
    """One `tool.result` for each result that is there, in the order of the calls where it is given; and what they bring."""
    places = {call.id: place for place, call in enumerate(order)}
    in_order = sorted(results, key=lambda result: places.get(result.call.id, 0))
    return [draft for result in in_order for draft in _result_drafts(result)]


def waiting_for(awaited: Sequence[Effect]) -> Draft:
    """The event that says which calls a run waits for; `reason` is the kind of what runs out first."""
    first = awaited[0]
    payload = {
        "reason": first.awaits_kind,
        "message": f"{first.tool} answers later",
        "tool_call_id": first.tool_call_id,
        "awaits": [
            {"tool_call_id": row.tool_call_id, "kind": row.awaits_kind, "reference": row.awaits_reference}
            for row in awaited
        ],
    }
    return Draft(EventType.RUN_WAITING, payload)


def overdue_draft(effect: Effect) -> Draft:
    """The `tool.result` of a call for whose answer nobody waits any longer."""
    told = {"toolName": effect.tool, "tool_call_id": effect.tool_call_id, "result": None, "isError": True}
    awaits = {"kind": effect.awaits_kind, "reference": effect.awaits_reference}
    error = {"code": "AWAITED_TOO_LONG", "message": f"{effect.tool} did not answer in time; its result may never come"}
    return Draft(EventType.TOOL_RESULT, {**told, "duration_ms": 0, "awaited": awaits, "error": error})


def _result_drafts(result: Result) -> list[Draft]:
    """A result and the events that it brings; before it, that the call was blocked, where that turned out only when made."""
    if result.later:
        return list(result.news)
    told = Draft(EventType.TOOL_RESULT, result.payload())
    if not result.was_blocked:
        return [told, *result.news]
    about = {"toolName": result.call.name, "tool_call_id": result.call.id, "args": result.call.arguments}
    return [Draft(EventType.TOOL_BLOCKED, about | {"reason": result.error, "rule": BLOCKED_TOOL}), told]
