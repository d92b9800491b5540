"""What a conversation holds for the demo model: the question, what came before, what was found so far."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from runs.llm.demo.attachments import parted
from runs.llm.demo.calls import Call, Reply, parse_reply
from runs.llm.demo.text.reading import Reading
from runs.llm.types import RECALLED


@dataclass(frozen=True)
class Turn:
    """The last thing a person said, and the calls and replies since."""

    question: str
    earlier_question: str
    earlier_answer: str
    rounds: tuple[dict[str, Reply], ...]  # per step: the key of a call -> its reply
    attached: tuple[Reading, ...] = ()  # the files that people have sent along so far


def read_turn(messages: list[dict[str, Any]]) -> Turn:
    messages = without_reminder(messages)
    last = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    earlier = messages[: max(last, 0)]
    said = [parted(text_of(message)) for message in messages[: last + 1] if message.get("role") == "user"]
    return Turn(
        question=said[-1][0] if said else "",
        earlier_question=parted(last_text(earlier, role="user"))[0],
        earlier_answer=last_text(earlier, role="assistant"),
        rounds=rounds_of(messages[last + 1 :]),
        attached=tuple(reading for _, readings in said for reading in readings),
    )


def without_reminder(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What it is reminded of, it looks up itself, to say where it is from."""
    return messages[:-1] if messages and text_of(messages[-1]).startswith(RECALLED) else messages


def is_final(message: dict[str, Any]) -> bool:
    """Whether it is an answer that asks for nothing more."""
    return message.get("role") == "assistant" and not _calls(message)


def text_of(message: dict[str, Any]) -> str:
    """A message's text, given plainly or in parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part)


def call_ids(messages: list[dict[str, Any]]) -> set[str]:
    return {str(call.get("id")) for message in messages for call in _calls(message)}


def last_text(messages: list[dict[str, Any]], *, role: str) -> str:
    said = (text_of(m) for m in reversed(messages) if m.get("role") == role and not _calls(m))
    return next(filter(None, said), "")


def rounds_of(messages: list[dict[str, Any]]) -> tuple[dict[str, Reply], ...]:
    """Per step: the calls that were made, by their keys, with their replies."""
    replies = {str(m.get("tool_call_id")): parse_reply(text_of(m)) for m in messages if m.get("role") == "tool"}
    missing = Reply(error="no result was recorded")
    return tuple(
        {_key(call): replies.get(str(call.get("id")), missing) for call in _calls(message)}
        for message in messages
        if message.get("role") == "assistant" and _calls(message)
    )


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _key(call: dict[str, Any]) -> str:
    function = call.get("function")
    if not isinstance(function, dict):
        return ""
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (TypeError, ValueError):
        return ""
    return Call(str(function.get("name")), arguments).key
