"""An answer in the wire format of each provider: lists of bytes, one per server-sent event."""

from __future__ import annotations

import json
from typing import Any

Step = dict[str, Any]


def openai(step: Step, model: str) -> list[bytes]:
    """Chat completions, streamed, with the usage chunk that `include_usage` asks for."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in pieces(step)]
    for index, call in enumerate(step.get("tool_calls", [])):
        head: dict[str, Any] = {"index": index, "type": "function", "function": {"name": call["name"], "arguments": ""}}
        if (identity := call.get("id", f"call_{index}_{call['name']}")) is not None:
            head["id"] = identity
        deltas.append({"tool_calls": [head]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in halves(arguments(call))
        ]
    choices: list[Step] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish(step, "stop", "tool_calls", "length")})
    events = [_openai_chunk(model, choices=[choice]) for choice in choices]
    if step.get("usage", True):
        prompt, completion, cached = usage(step)
        events.append(
            _openai_chunk(
                model,
                choices=[],
                usage={
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                    "prompt_tokens_details": {"cached_tokens": cached},
                },
            )
        )
    return [*events, b"data: [DONE]\n\n"]


def anthropic(step: Step, model: str) -> list[bytes]:
    """Messages, streamed."""
    prompt, completion, cached = usage(step)
    message: dict[str, Any] = {"id": "msg_peer", "type": "message", "role": "assistant", "model": model, "content": []}
    message |= {"stop_reason": None, "stop_sequence": None}
    message |= {
        "usage": {"input_tokens": prompt - cached, "cache_read_input_tokens": cached, "output_tokens": 1},
    }
    events = [_named("message_start", message=message), _named("ping")]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if texts := [{"type": "text_delta", "text": piece} for piece in pieces(step)]:
        blocks.append(({"type": "text", "text": ""}, texts))
    for index, call in enumerate(step.get("tool_calls", [])):
        start = {"type": "tool_use", "id": call.get("id", f"toolu_{index}"), "name": call["name"], "input": {}}
        parts = [{"type": "input_json_delta", "partial_json": part} for part in halves(arguments(call))]
        blocks.append((start, parts))
    for index, (start, parts) in enumerate(blocks):
        events.append(_named("content_block_start", index=index, content_block=start))
        events += [_named("content_block_delta", index=index, delta=part) for part in parts]
        events.append(_named("content_block_stop", index=index))
    reason = {"stop_reason": finish(step, "end_turn", "tool_use", "max_tokens"), "stop_sequence": None}
    events.append(_named("message_delta", delta=reason, usage={"output_tokens": completion}))
    return [*events, _named("message_stop")]


def responses(step: Step, model: str) -> list[bytes]:
    """OpenAI's Responses, streamed: what its newest models want when there are tools."""
    items: list[tuple[Step, str, list[bytes]]] = []
    if parts := pieces(step):
        item: Step = {"type": "message", "id": "msg_0", "status": "completed", "role": "assistant"}
        item |= {"content": [{"type": "output_text", "text": "".join(parts), "annotations": []}]}
        events = [_named("response.output_text.delta", item_id="msg_0", content_index=0, delta=part) for part in parts]
        items.append((item, "content", events))
    for number, call in enumerate(step.get("tool_calls", [])):
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": call.get("id", f"call_{number}")}
        item |= {"name": call["name"], "arguments": arguments(call), "status": "completed"}
        kind = "response.function_call_arguments.delta"
        events = [_named(kind, item_id=item["id"], delta=part) for part in halves(arguments(call))]
        items.append((item, "arguments", events))
    head: Step = {"id": "resp_peer", "object": "response", "created_at": 1, "model": model, "error": None}
    begun = head | {"status": "in_progress", "output": [], "usage": None}
    sent = [_named("response.created", response=begun)]
    for index, (item, empty, events) in enumerate(items):
        added = item | {"status": "in_progress", empty: [] if empty == "content" else ""}
        sent.append(_named("response.output_item.added", output_index=index, item=added))
        sent += [event.replace(b'"type":', f'"output_index": {index}, "type":'.encode(), 1) for event in events]
        sent.append(_named("response.output_item.done", output_index=index, item=item))
    prompt, completion, cached = usage(step)
    counts: Step = {"input_tokens": prompt, "output_tokens": completion, "total_tokens": prompt + completion}
    counts |= {"input_tokens_details": {"cached_tokens": cached}, "output_tokens_details": {"reasoning_tokens": 0}}
    is_cut = step.get("finish") == "length"
    status = "incomplete" if is_cut else "completed"
    ended = head | {"status": status, "output": [item for item, _, _ in items], "usage": counts}
    ended |= {"incomplete_details": {"reason": "max_output_tokens"} if is_cut else None}
    return [*sent, _named(f"response.{status}", response=ended)]


def gemini(step: Step, model: str) -> list[bytes]:
    """streamGenerateContent with `alt=sse`; a function call is always one whole part."""
    parts: list[dict[str, Any]] = [{"text": piece} for piece in pieces(step)]
    parts += [
        {"functionCall": {"name": call["name"], "args": json.loads(arguments(call))}}
        for call in step.get("tool_calls", [])
    ]
    parts = parts or [{"text": ""}]
    prompt, completion, cached = usage(step)
    counts = {"promptTokenCount": prompt, "candidatesTokenCount": completion, "totalTokenCount": prompt + completion}
    counts |= {"cachedContentTokenCount": cached} if cached else {}
    events = []
    for number, part in enumerate(parts, start=1):
        candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if number == len(parts):
            candidate["finishReason"] = finish(step, "STOP", "STOP", "MAX_TOKENS")
        body = {"candidates": [candidate], "usageMetadata": counts, "modelVersion": model, "responseId": "peer"}
        events.append(_data(body))
    return events


def ollama(step: Step, model: str) -> list[bytes]:
    """A local Ollama: one JSON object a line; a tool call is always whole."""
    prompt, completion, _ = usage(step)
    messages: list[Step] = [{"content": piece} for piece in pieces(step)]
    messages += [
        {"content": "", "tool_calls": [{"function": {"name": call["name"], "arguments": json.loads(arguments(call))}}]}
        for call in step.get("tool_calls", [])
    ]
    head = {"model": model, "created_at": "2026-01-01T00:00:00Z"}
    lines = [head | {"message": {"role": "assistant"} | message, "done": False} for message in messages]
    reason = finish(step, "stop", "stop", "length")
    counts = {"prompt_eval_count": prompt, "eval_count": completion}
    lines.append(head | {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": reason} | counts)
    return [json.dumps(line).encode() + b"\n" for line in lines]


def pieces(step: Step) -> list[str]:
    """The text of `step` as the fragments it is sent in."""
    if "pieces" in step:
        return list(step["pieces"])
    text = step.get("text", "")
    size = max(1, len(text) // 4)
    return [text[start : start + size] for start in range(0, len(text), size)]


def arguments(call: dict[str, Any]) -> str:
    """A call's arguments as text; a string is sent as it is, however broken."""
    given = call.get("arguments", {})
    return given if isinstance(given, str) else json.dumps(given)


def halves(text: str) -> list[str]:
    """`text` in two parts, so that a reader has to put it together."""
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]


def usage(step: Step) -> tuple[int, int, int]:
    """Prompt, completion and cached tokens of `step`."""
    given = step.get("usage")
    prompt, completion, *cached = given if isinstance(given, list) else [11, 7]
    return prompt, completion, cached[0] if cached else 0


def finish(step: Step, stop: str, tools: str, length: str) -> str:
    """The provider's word for why the answer ended."""
    if step.get("finish") == "length":
        return length
    return tools if step.get("tool_calls") else stop


def _openai_chunk(model: str, **fields: Any) -> bytes:
    head = {"id": "chatcmpl-peer", "object": "chat.completion.chunk", "created": 1, "model": model}
    return _data(head | fields)


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _named(name: str, **fields: Any) -> bytes:
    return f"event: {name}\n".encode() + _data({"type": name, **fields})
