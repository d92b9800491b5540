"""What a chat client sends, as the task that it means. Fields are OpenAI's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openintern.errors import Invalid, OpenInternError
from openintern.text import is_storable

MOST_MESSAGES: Final = 1000
#: What would change the meaning of an answer, and isn't done: better refused than passed over.
_NOT_DONE: Final = {
    "tools": "The agent has its own tools; those of a client can't be called",
    "functions": "The agent has its own tools; those of a client can't be called",
    "audio": "Answers are text",
    "logprobs": "Not known of an agent's answers",
}


class _Part(BaseModel):
    """A piece of a message. Pictures and files go to `/api/uploads`."""

    type: Literal["text"]
    text: str


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Body(BaseModel):
    """What is read of a request; whatever else a client sends only tunes a model, and is passed over."""

    model_config = ConfigDict(strict=True, protected_namespaces=())

    model: str = Field(min_length=1, max_length=400)
    messages: list[_Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    n: Literal[1] | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A task with the talk that led to it. `history` are earlier turns as {"role", "content"}, the oldest first."""

    agent_id: str
    text: str
    history: tuple[dict[str, str], ...]
    instructions: str
    llm_config: dict[str, Any] | None
    is_streamed: bool
    wants_usage: bool


def parse(body: bytes) -> Asked:
    """Return what is asked. Raises VALIDATION_ERROR for what can't be understood or isn't done here."""
    told = _json(body)
    for name, why in _NOT_DONE.items():
        if told.get(name):
            raise Invalid(name, why)
    form = told.get("response_format")
    if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
        raise Invalid("response_format", "Answers are text")
    try:
        request = _Body.model_validate(told)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Invalid(".".join(map(str, problem["loc"])), problem["msg"]) from error
    return _asked(request)


def _asked(request: _Body) -> Asked:
    spoken = [message for message in request.messages if message.role in {"user", "assistant"}]
    if not spoken or spoken[-1].role != "user":
        raise Invalid("messages", "The last message must be the user's: it is the task")
    agent_id, llm_config = _chosen(request)
    told = [message.text for message in request.messages if message.role in {"system", "developer"}]
    return Asked(
        agent_id=agent_id,
        text=spoken[-1].text,
        history=tuple({"role": message.role, "content": message.text} for message in spoken[:-1] if message.text),
        instructions="\n\n".join(text for text in told if text.strip()),
        llm_config=llm_config,
        is_streamed=bool(request.stream),
        wants_usage=bool(request.stream_options and request.stream_options.include_usage),
    )


def _chosen(request: _Body) -> tuple[str, dict[str, Any] | None]:
    """`agent`, or `agent@provider/model` for one of the models that the operator lets requests choose."""
    agent_id, _, choice = request.model.partition("@")
    provider, _, model = choice.partition("/")
    chosen: dict[str, Any] = {
        "provider": provider or None,
        "model": model or None,
        "temperature": request.temperature,
        "max_tokens": request.max_completion_tokens or request.max_tokens,
    }
    return agent_id, {name: value for name, value in chosen.items() if value is not None} or None


def _json(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise OpenInternError("VALIDATION_ERROR", "The body is not valid JSON") from error
    if not isinstance(told, dict):
        raise Invalid("body", "Must be a JSON object")
    if not is_storable(json.dumps(told, ensure_ascii=False)) or "\\u0000" in json.dumps(told):
        raise Invalid("body", "Must not hold NUL characters or lone surrogates")
    return told
