"""How a plan asks for tools: it yields a batch of calls and is sent their replies.

A plan is a generator, and is begun again at every step of a run: what it asked before is replayed from
the conversation, so the model itself remembers nothing between two steps.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar


@dataclass(frozen=True)
class Call:
    name: str
    arguments: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.name} {json.dumps(self.arguments, sort_keys=True, ensure_ascii=False)}"


@dataclass(frozen=True)
class Reply:
    """What a tool answered: an object, or why there is none."""

    value: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def truncated(self) -> bool:
        return bool(self.value.get("truncated") or self.value.get("cut"))

    def items(self, name: str) -> list[Any]:
        items = self.value.get(name)
        return items if isinstance(items, list) else []

    def number(self, name: str, default: int) -> int:
        number = self.value.get(name)
        return number if isinstance(number, int) else default

    def text(self, name: str) -> str:
        text = self.value.get(name)
        return text if isinstance(text, str) else ""


@dataclass(frozen=True)
class Batch:
    """Calls to be made side by side, and what is said while they are."""

    say: str
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Report:
    """What a plan comes to: an answer in Markdown, and a remark on how it was found."""

    body: str
    note: str = ""


T = TypeVar("T")
Asking: TypeAlias = Generator[Batch, list[Reply], T]
Plan: TypeAlias = Asking[Report]


def alongside(plan: Asking[T], beside: Batch) -> Asking[tuple[T, list[Reply]]]:
    """Carry out a plan, with further calls beside its first batch; both their results."""
    try:
        batch = next(plan)
    except StopIteration as end:
        return end.value, (yield beside) if beside.calls else []
    replies = yield Batch(batch.say, batch.calls + beside.calls)
    own, further = replies[: len(batch.calls)], replies[len(batch.calls) :]
    try:
        batch = plan.send(own)
        while True:
            batch = plan.send((yield batch))
    except StopIteration as end:
        return end.value, further


class Toolbox:
    """The tools a request offers. Calls for any other are never made."""

    def __init__(self, tools: list[dict[str, Any]]) -> None:
        self._parameters = dict(filter(None, map(_signature, tools)))

    def offers(self, name: str) -> bool:
        return name in self._parameters

    def takes(self, name: str, argument: str) -> bool:
        return argument in self._parameters.get(name, {})

    def call(self, name: str, **arguments: Any) -> list[Call]:
        """The call with the arguments its schema knows, in a list; an empty one if it isn't offered."""
        if not self.offers(name):
            return []
        known = self._parameters[name]
        fitting = {key: _bounded(value, known[key]) for key, value in arguments.items() if key in known}
        return [Call(name, fitting)]


def _signature(tool: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    return function["name"], properties if isinstance(properties, dict) else {}


def _bounded(value: Any, schema: Any) -> Any:
    maximum = schema.get("maximum") if isinstance(schema, dict) else None
    if isinstance(value, int) and isinstance(maximum, int):
        return min(value, maximum)
    return value


def parse_reply(content: str) -> Reply:
    """The text of a tool message. A cut or foreign text is an error like any other."""
    if content.startswith("Error:"):
        return Reply(error=content.removeprefix("Error:").strip()[:500])
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return Reply(error="the result could not be read")
    return Reply(value=value) if isinstance(value, dict) else Reply(error="the result is not an object")
