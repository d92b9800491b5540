"""What a chat client is answered, in OpenAI's forms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from openintern.errors import OpenInternError
from openintern.refusals import chat_error_body
from runs.chat_completions.conversations import TEAM_PREFIX
from runs.models import Run
from runs.pinning import TEAM


@dataclass(frozen=True)
class Form:
    """What all parts of one answer have in common."""

    run_id: str
    model: str
    created: int

    @classmethod
    def of(cls, run: Run) -> Form:
        """The form of a run's answer."""
        team = run.config.get(TEAM)
        model = f"{TEAM_PREFIX}{team['name']}" if team else run.agent_id
        return cls(run.pk, model, int(run.created_at.timestamp()))

    def whole(self, text: str, *, finish_reason: str, usage: dict[str, int]) -> dict[str, Any]:
        """The answer in one piece."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": finish_reason,
        }
        return {**self._envelope("chat.completion"), "choices": [choice], "usage": usage}

    def chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None) -> bytes:
        """A piece of a streamed answer."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event({**self._envelope("chat.completion.chunk"), "choices": [choice]})

    def usage(self, usage: dict[str, int]) -> bytes:
        """The piece that says what it took."""
        return event({**self._envelope("chat.completion.chunk"), "choices": [], "usage": usage})

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.run_id}", "object": kind, "created": self.created, "model": self.model}


def event(told: Any) -> bytes:
    """One server-sent event, in pure ASCII: nothing in it can end a line."""
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


def failure(error: dict[str, Any]) -> bytes:
    """The piece that says that there is no answer."""
    return event(chat_error_body(OpenInternError(error["code"], error["message"])))


def usage_of(run: Run) -> dict[str, int]:
    """What the whole run took, all its model calls together."""
    return {
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
        "total_tokens": run.prompt_tokens + run.completion_tokens,
    }
