"""Tool calls as models really send them: broken, doubled, far too many."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from openintern.text import storable
from runs.llm.types import ToolCall

MAX_CALLS = 16
#: Calls above MAX_CALLS are answered with an error; beyond this many they aren't even kept.
MAX_KEPT = 64
#: Some litellm providers append a signature of any length to the id, after this mark.
ID_SUFFIX = "__thought__"

_GOOD_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAX_NAME = 128


@dataclass
class Draft:
    """A tool call that is still arriving."""

    id: str = ""
    name: str = ""
    parts: list[str] = field(default_factory=list)

    @property
    def raw(self) -> str:
        """The arguments' text as received so far."""
        return "".join(self.parts)


def settle(drafts: list[Draft], *, messages: list[dict[str, Any]], cut: bool) -> tuple[ToolCall, ...]:
    """Turn what arrived into tool calls that can be recorded, run or refused, and answered.

    Every call gets an id that occurs nowhere else in `messages`: the provider's where it is usable, else one
    derived from the conversation and the call, so that the same answer to the same question has the same ids.
    `cut` says that the answer broke off at a limit, which explains arguments that end too early.
    """
    taken = {call["id"] for message in messages for call in message.get("tool_calls") or ()}
    calls = []
    for position, draft in enumerate(drafts[:MAX_KEPT]):
        identity = _unique_id(draft, position=position, taken=taken, messages=messages)
        taken.add(identity)
        arguments, error = parse_arguments(draft.raw, cut=cut)
        if position >= MAX_CALLS:
            arguments, error = None, _too_many(len(drafts))
        name = str(storable(draft.name))[:_MAX_NAME]
        calls.append(ToolCall(identity, name, arguments, str(storable(draft.raw)), error))
    return tuple(calls)


def parse_arguments(raw: str, *, cut: bool = False) -> tuple[dict[str, Any] | None, str]:
    """Return the arguments and "", or None and what the model must be told.

    No text at all means no arguments: that is how Anthropic sends them. Everything else has to be one JSON object
    as the standard has it; nothing is guessed or repaired.
    """
    if not raw.strip():
        return {}, ""
    try:
        value = json.loads(raw, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        hint = " The answer reached its length limit: make it shorter." if cut else ""
        return None, f"The arguments are not valid JSON ({_reason(error)}). Nothing was carried out.{hint}"
    if not isinstance(value, dict):
        return None, "The arguments must be a JSON object. Nothing was carried out."
    return storable(value), ""


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _too_many(count: int) -> str:
    return (
        f"{count} tool calls at once are too many: only the first {MAX_CALLS} were carried out. "
        "Ask for the others in a later step."
    )


def _unique_id(draft: Draft, *, position: int, taken: set[str], messages: list[dict[str, Any]]) -> str:
    given = draft.id.partition(ID_SUFFIX)[0]
    if _GOOD_ID.fullmatch(given) and given not in taken:
        return given
    seed = json.dumps([messages, position, draft.name, draft.raw], default=str)
    return "call_" + hashlib.sha256(seed.encode()).hexdigest()[:24]
