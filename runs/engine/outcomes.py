"""What a step of a run can come to. The engine matches on these; nothing else decides how a run goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runs.llm.types import Answer


@dataclass(frozen=True)
class CallTools:
    """The model asks for tools. `is_new` is False for an answer that was recorded before a crash."""

    answer: Answer
    is_new: bool


@dataclass(frozen=True)
class Finish:
    """The model gave its final answer."""

    answer: Answer


@dataclass(frozen=True)
class Wait:
    """The run can't go on before a person has decided about a tool call."""

    reason: str
    message: str
    tool_call_id: str


@dataclass(frozen=True)
class Parked:
    """The run waits already for calls that somebody else answers."""


@dataclass(frozen=True)
class Fail:
    """The turn, and with it the run of a single agent, ends without an answer; `code` is part of the public interface.

    With `ends_run`, nobody else could go on either: what the run as a whole may use is used up. One `is_blind` where it is
    the log, or what is made of it, that may be what is wrong: then nobody reads it once more.
    """

    code: str
    message: str
    details: dict[str, Any] | None = None
    ends_run: bool = False
    is_blind: bool = False


Outcome = CallTools | Finish | Wait | Fail
