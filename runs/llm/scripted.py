"""A model that plays a script: for tests that need a certain answer at a certain moment.

A script is a list of steps, one for each answer:

    {"text": "…"}                                       may be combined with tool_calls
    {"tool_calls": [{"name": …, "arguments": …, "id"?}]}  arguments: an object, or text to send as it is
    {"error": "LLM_RATE_LIMITED", "retryable"?, "retry_after"?, "message"?}
    {"hold": "NAME", …}                                 say the text, then wait for release("NAME"), then finish
    {"usage": [prompt, completion], …}

The script is the model's name, in one of two ways. As JSON it needs no state: the step is the number of answers
already in the conversation, so that any process plays it alike, also after a crash. By a name given to `play`, in this
process only, each purchase takes the next step: that is how a model fails first and answers then.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from runs.llm.tool_calls import Draft, settle
from runs.llm.types import Answer, ModelError, Request, Usage

Step = dict[str, Any]

_changed = threading.Condition()
_scripts: dict[str, list[Step]] = {}
_holding: set[str] = set()
_released: set[str] = set()


def play(name: str, *steps: Step) -> None:
    """Let the model `name` take these steps, one for each purchase; beyond the last it is an error."""
    with _changed:
        _scripts[name] = list(steps)


def release(name: str) -> None:
    """Let go what is held, or will be held, under `name`."""
    with _changed:
        _released.add(name)
        _changed.notify_all()


def wait_held(name: str, *, timeout: float = 10.0) -> None:
    """Return once an answer is held under `name`; raises TimeoutError."""
    with _changed:
        if not _changed.wait_for(lambda: name in _holding, timeout):
            raise TimeoutError(f"nothing is held under {name!r}")


def forget() -> None:
    """Drop all scripts and releases."""
    with _changed:
        _scripts.clear()
        _released.clear()


class ScriptedModel:
    """Plays the script that its spec's model names."""

    def stream(self, request: Request) -> Performance:
        """See `Model.stream`."""
        return Performance(_next_step(request), request)


class Performance(Iterator[str | Answer]):
    """One step of a script."""

    def __init__(self, step: Step, request: Request) -> None:
        self._step = step
        self._request = request
        self._hung_up = False
        self._items = self._run()

    def __next__(self) -> str | Answer:
        return next(self._items)

    def hang_up(self) -> None:
        """See `Interruptible.hang_up`: ends a hold."""
        with _changed:
            self._hung_up = True
            _changed.notify_all()

    def _run(self) -> Iterator[str | Answer]:
        step = self._step
        if "error" in step:
            raise ModelError(
                step["error"],
                step.get("message", "The script says so."),
                retryable=step.get("retryable", False),
                retry_after=step.get("retry_after"),
            )
        yield from re.findall(r"\S+\s*|\s+", step.get("text", ""))
        if "hold" in step:
            self._hold(step["hold"])
        yield self._answer()

    def _hold(self, name: str) -> None:
        with _changed:
            _holding.add(name)
            _changed.notify_all()
            _changed.wait_for(lambda: name in _released or self._hung_up)
            _holding.discard(name)

    def _answer(self) -> Answer:
        step = self._step
        drafts = [_draft(call) for call in step.get("tool_calls", ())]
        prompt, completion = step.get("usage", (50, 20))
        return Answer(
            text=step.get("text", ""),
            tool_calls=settle(drafts, messages=self._request.messages, cut=False),
            usage=Usage(prompt, completion, cost=Decimal(0)),
            model="scripted",
            finish_reason="tool_calls" if drafts else "stop",
        )


def _next_step(request: Request) -> Step:
    name = request.spec.model
    with _changed:
        if name in _scripts:
            return _scripts[name].pop(0) if _scripts[name] else _the_end(name)
    steps: list[Step] = json.loads(name)
    position = sum(message["role"] == "assistant" for message in request.messages)
    return steps[position] if position < len(steps) else _the_end(name)


def _the_end(name: str) -> Step:
    return {"error": "LLM_BAD_REQUEST", "message": f"The script {name[:80]!r} is over."}


def _draft(call: dict[str, Any]) -> Draft:
    arguments = call.get("arguments", {})
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return Draft(id=call.get("id", ""), name=call["name"], parts=[raw])
