"""The models that are part of the product and need no provider."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from runs.llm import scripted
from runs.llm.types import ModelError, Usage
from runs.stop import Stopped
from tests.llm.conftest import Asker
from tests.peers.llm import Peer

Messages = list[dict[str, Any]]


@pytest.fixture
def play() -> Iterator[Asker]:
    """An asker of scripts; what they leave behind is forgotten."""
    yield Asker(Peer(), "scripted")
    scripted.forget()


def test_the_mock_completes_every_task() -> None:
    mock = Asker(Peer(), "mock")

    answer = mock.ask(model="mock")

    assert answer.text == "I have completed the task." == "".join(mock.said)
    assert mock.said == ["I ", "have ", "completed ", "the ", "task."]
    assert answer.usage == Usage(50, 20, cost=Decimal(0))


def test_a_script_as_json_goes_by_the_answers_so_far(play: Asker) -> None:
    script = json.dumps([{"tool_calls": [{"name": "read_file", "arguments": {"path": "a"}}]}, {"text": "It says A."}])
    task: Messages = [{"role": "user", "content": "Read a."}]

    first = play.ask(model=script, messages=task)
    again = play.ask(model=script, messages=task)
    (call,) = first.tool_calls
    turn = {"role": "assistant", "content": "", "tool_calls": [{"id": call.id, "function": {"arguments": call.raw}}]}
    reply = {"role": "tool", "tool_call_id": call.id, "content": "A"}
    second = play.ask(model=script, messages=[*task, turn, reply])

    assert (call.name, call.arguments) == ("read_file", {"path": "a"})
    assert again == first
    assert (second.text, second.tool_calls) == ("It says A.", ())


def test_a_script_by_name_can_fail_first_and_answer_then(play: Asker) -> None:
    scripted.play("flaky", {"error": "LLM_UNAVAILABLE", "retryable": True}, {"text": "ok", "usage": [3, 4]})

    answer = play.ask(model="flaky")

    assert (answer.text, answer.usage.prompt_tokens, answer.usage.completion_tokens) == ("ok", 3, 4)
    assert [retry.reason for retry in play.retries] == ["LLM_UNAVAILABLE"]


def test_a_script_that_is_over_says_so(play: Asker) -> None:
    with pytest.raises(ModelError, match="is over"):
        play.ask(model="[]")


def test_malformed_arguments_can_be_scripted(play: Asker) -> None:
    answer = play.ask(model=json.dumps([{"tool_calls": [{"name": "t", "arguments": "{"}]}]))

    assert answer.tool_calls[0].arguments is None


def test_a_held_answer_waits_for_its_release(play: Asker) -> None:
    answers: list[str] = []
    script = json.dumps([{"text": "Half", "hold": "gate"}])
    asking = threading.Thread(target=lambda: answers.append(play.ask(model=script).text))
    asking.start()

    scripted.wait_held("gate")
    assert answers == []
    scripted.release("gate")
    asking.join(timeout=5)

    assert answers == ["Half"]


def test_a_held_answer_can_be_cancelled(play: Asker) -> None:
    script = json.dumps([{"text": "Half", "hold": "gate"}])

    def cancel() -> None:
        scripted.wait_held("gate")
        play.stop.set("cancelled")

    cancelling = threading.Thread(target=cancel)
    cancelling.start()

    with pytest.raises(Stopped) as caught:
        play.ask(model=script)

    cancelling.join(timeout=5)
    assert caught.value.reason == "cancelled"
