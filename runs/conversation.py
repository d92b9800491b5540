"""The conversation a model sees: the fold of the event log. Nothing else stores it.

Events that say something to the model:
`llm.called` – an assistant turn with its tool calls; `tool.result` – the reply to one of them;
`user.injected` – a turn of the user's, which goes behind the replies that are still due.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from runs.events import EventType
from runs.models import Event, Run

Message = dict[str, Any]

SPEAKING = (EventType.LLM_CALLED, EventType.TOOL_RESULT, EventType.USER_INJECTED)
REMEMBERED_RUNS = 20


def opening(run: Run) -> list[Message]:
    """Return what comes before the run's own events: the prompt, the session so far, the task."""
    messages: list[Message] = [{"role": "system", "content": run.config["prompt"]}]
    for text, output in _earlier_runs(run):
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": output}]
    return [*messages, {"role": "user", "content": run.input}]


def _earlier_runs(run: Run) -> list[tuple[str, str]]:
    """The latest completed top-level runs of the session, oldest first."""
    earlier = Run.objects.filter(session=run.session_id, parent=None, status=Run.Status.COMPLETED, created_at__lt=run.created_at)
    latest = earlier.order_by("-created_at").values_list("input", "output")[:REMEMBERED_RUNS]
    return [(text, output or "") for text, output in reversed(latest)]


def fold(messages: list[Message], events: Iterable[Event]) -> list[Message]:
    """Return `messages` followed by what `events` add, every tool call directly followed by its replies."""
    folded = list(messages)
    due = _unanswered(folded)
    held: list[Message] = []
    for event in events:
        match event.type:
            case EventType.LLM_CALLED:
                folded.append(_assistant_turn(event.payload))
                due = {call["id"] for call in event.payload.get("toolCalls", [])}
            case EventType.TOOL_RESULT:
                folded.append(_tool_reply(event.payload))
                due.discard(event.payload["tool_call_id"])
            case EventType.USER_INJECTED:
                held.append({"role": "user", "content": event.payload["message"]})
        if not due:
            folded += held
            held = []
    return folded


def _unanswered(messages: list[Message]) -> set[str]:
    """The tool calls of the last assistant turn that have no reply yet."""
    for position in range(len(messages) - 1, -1, -1):
        if messages[position]["role"] == "assistant":
            calls = {call["id"] for call in messages[position].get("tool_calls", [])}
            return calls - {message.get("tool_call_id") for message in messages[position + 1 :]}
    return set()


def _assistant_turn(payload: dict[str, Any]) -> Message:
    turn: Message = {"role": "assistant", "content": payload["text"]}
    if calls := payload.get("toolCalls"):
        turn["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}} for call in calls
        ]
    return turn


def _tool_reply(payload: dict[str, Any]) -> Message:
    if payload["isError"]:
        content = f"Error: {payload['error']['message']}"
    else:
        content = json.dumps(payload["result"], ensure_ascii=False)
    return {"role": "tool", "tool_call_id": payload["tool_call_id"], "content": content}
