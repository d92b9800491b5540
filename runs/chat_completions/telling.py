"""A run's stream as the talk of somebody who answers: pieces of text, and how it ended."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from openintern.live.frames import taken_apart
from openintern.live.stream import Stream
from runs.events import EventType


@dataclass(frozen=True)
class Ended:
    """How an answer ended: `finish_reason` as OpenAI names it, or `error` (code, message). `waits` for a person."""

    finish_reason: str = "stop"
    error: dict[str, Any] | None = None
    waits: bool = False


class Speech:
    """What one listener was told. All answers of a run are told, with an empty line between them.

    What was told can't be taken back: an answer that is begun anew, after a fault, is told again as a whole.
    """

    def __init__(self) -> None:
        self._key: tuple[int, int] | None = None
        self._heard = ""
        self._told = ""
        self._has_spoken = False
        self.is_cut = False

    def go_on(self, event: dict[str, Any]) -> str:
        """Return what an `llm.token` adds."""
        key = (event["attempt"], event["payload"]["stepNumber"])
        if key != self._key:
            self._key, self._heard, self._told = key, "", ""
        self._heard = self._heard[: event["payload"]["offset"]] + event["payload"]["token"]
        return self._rest(self._heard) if self._heard.startswith(self._told) else ""

    def conclude(self, event: dict[str, Any]) -> str:
        """Return what is missing of the whole answer, which `llm.called` holds."""
        text = event["payload"]["text"]
        if (event["attempt"], event["payload"]["stepNumber"]) != self._key or not text.startswith(self._told):
            self._told = ""
        rest = self._rest(text)
        self.is_cut = bool(event["payload"]["truncated"])
        self._key, self._told = None, ""
        return rest

    def _rest(self, text: str) -> str:
        rest = text[len(self._told) :]
        if not rest:
            return ""
        parted = "\n\n" if self._has_spoken and not self._told else ""
        self._told, self._has_spoken = text, True
        return parted + rest


async def tell(stream: Stream) -> AsyncGenerator[str | Ended]:
    """Yield what is said as it is said, "" now and then in a silence, and an `Ended` at the end."""
    speech = Speech()
    async with aclosing(stream.body()) as chunks:
        async for chunk in chunks:
            for name, message in taken_apart(chunk):
                event = json.loads(message)["data"]
                for told in _of_team(event) if event.get("group_id") else _of_agent(speech, name, event):
                    yield told
                    if isinstance(told, Ended):
                        return
    yield Ended(error={"code": "NOT_FOUND", "message": "The run is gone"})


def _of_agent(speech: Speech, name: str, event: dict[str, Any]) -> list[str | Ended]:
    """What an agent says, as it says it."""
    if name == "ping":
        return [""]
    match event.get("type"):
        case EventType.LLM_TOKEN:
            return [text] if (text := speech.go_on(event)) else []
        case EventType.LLM_CALLED:
            return [text] if (text := speech.conclude(event)) else []
        case EventType.RUN_COMPLETED:
            return [Ended("length" if speech.is_cut else "stop")]
    return _ending(event)


def _of_team(event: dict[str, Any]) -> list[str | Ended]:
    """What a team answers, in the end; what its members say on the way is between them."""
    match event["type"]:
        case EventType.MEMBER_STARTED:
            return [""]
        case EventType.RUN_COMPLETED:
            return [event["payload"]["output"], Ended()]
    return _ending(event)


def _ending(event: dict[str, Any]) -> list[str | Ended]:
    match event.get("type"):
        case EventType.RUN_WAITING:
            return [Ended(waits=True)]
        case EventType.RUN_FAILED:
            return [Ended(error=event["payload"]["error"])]
        case EventType.RUN_CANCELLED:
            return [Ended(error={"code": "RUN_CANCELLED", "message": "The run was cancelled"})]
    return []
