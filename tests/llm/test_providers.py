"""Each provider's wire format, through litellm, over real HTTP."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.llm.conftest import KEY, MODELS, Asker, body_text

TWO_CALLS = {
    "text": "Let me look.",
    "tool_calls": [
        {"name": "read_file", "arguments": {"path": "a.txt"}},
        {"name": "read_file", "arguments": {"path": "b/中文.txt"}},
    ],
}


def test_text_is_streamed_in_fragments_that_make_up_the_answer(asker: Asker) -> None:
    asker.peer.script({"text": "The answer is 42, 你好 😀."})

    answer = asker.ask()

    assert answer.text == "The answer is 42, 你好 😀."
    assert "".join(asker.said) == answer.text
    assert len(asker.said) > 1
    assert (answer.tool_calls, answer.finish_reason, answer.truncated) == ((), "stop", False)


def test_tool_calls_arrive_whole_and_in_order(asker: Asker) -> None:
    asker.peer.script(TWO_CALLS)

    answer = asker.ask()

    assert answer.text == "Let me look."
    assert [(call.name, call.arguments, call.error) for call in answer.tool_calls] == [
        ("read_file", {"path": "a.txt"}, ""),
        ("read_file", {"path": "b/中文.txt"}, ""),
    ]
    assert len({call.id for call in answer.tool_calls}) == 2
    assert answer.finish_reason == "tool_calls"


def test_a_call_without_arguments_has_empty_ones(asker: Asker) -> None:
    nothing = "{}" if asker.dialect in ("gemini", "ollama") else ""
    asker.peer.script({"tool_calls": [{"name": "list_files", "arguments": nothing}]})

    answer = asker.ask()

    assert [call.arguments for call in answer.tool_calls] == [{}]


@pytest.mark.parametrize(
    ("dialect", "cost"),
    [
        # 900 prompt + 100 cached + 500 completion tokens, at the list prices per million (cached at its own rate)
        ("openai", (900 * 2.5 + 100 * 1.25 + 500 * 10) / 1e6),
        ("anthropic", (900 * 3 + 100 * 0.3 + 500 * 15) / 1e6),
        ("gemini", (900 * 0.3 + 100 * 0.03 + 500 * 2.5) / 1e6),
    ],
    indirect=["dialect"],
)
def test_usage_and_cost_are_the_providers(asker: Asker, cost: float) -> None:
    asker.peer.script({"text": "ok", "usage": [1000, 500, 100]})

    usage = asker.ask().usage

    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (1000, 500, 100)
    assert usage.cost is not None
    assert float(usage.cost) == pytest.approx(cost)


def test_the_price_of_an_unknown_model_is_unknown_and_not_zero(asker: Asker) -> None:
    asker.peer.script({"text": "ok", "usage": [1000, 500]})

    usage = asker.ask(model="something-new-9000").usage

    assert usage.cost is None
    assert usage.prompt_tokens == 1000


@pytest.mark.parametrize(
    ("dialect", "model", "cost"),
    [
        ("anthropic", "claude-sonnet-4-20250514", "0.0105"),
        ("gemini", "gemini-2.0-flash", "0.0003"),
    ],
    indirect=["dialect"],
)
def test_a_model_that_left_the_price_list_is_in_our_own(asker: Asker, model: str, cost: str) -> None:
    asker.peer.script({"text": "ok", "usage": [1000, 500]})

    usage = asker.ask(model=model).usage

    assert usage.cost == Decimal(cost)


def test_an_answer_that_hit_its_length_limit_says_so(asker: Asker) -> None:
    asker.peer.script({"text": "Once upon a", "finish": "length"})

    answer = asker.ask()

    assert (answer.finish_reason, answer.truncated) == ("length", True)


def test_the_request_holds_what_was_asked_for(asker: Asker) -> None:
    asker.peer.script({"text": "ok"})

    asker.ask(temperature=0.3, max_tokens=321)

    sent = body_text(asker.peer)
    for part in ("Be brief.", "Hello", "read_file", "0.3", "321"):
        assert part in sent
    header = {
        "openai": "Authorization",
        "responses": "Authorization",
        "anthropic": "x-api-key",
        "gemini": "x-goog-api-key",
        "ollama": "Authorization",
    }[asker.dialect]
    assert asker.peer.requests[0].headers[header].removeprefix("Bearer ") == KEY
    assert KEY not in sent + asker.peer.requests[0].path


def test_a_conversation_with_malformed_arguments_in_it_can_go_on(asker: Asker) -> None:
    asker.peer.script({"text": "Sorry."})
    call = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": '}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Read it."},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "The arguments are not valid JSON."},
    ]

    answer = asker.ask(messages=messages)

    assert answer.text == "Sorry."
    assert "malformed_arguments" in body_text(asker.peer)
    assert call["function"] == {"name": "read_file", "arguments": '{"path": '}


def test_a_conversation_with_tool_calls_can_go_on_without_tools(asker: Asker) -> None:
    asker.peer.script({"text": "Done."})
    call = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "Read it."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "A"},
    ]

    answer = asker.ask(messages=messages, tools=False)

    assert answer.text == "Done."


def test_a_server_that_counts_no_tokens_still_answers(openai: Asker) -> None:
    openai.peer.script({"text": "A local model says hello.", "usage": False})

    answer = openai.ask()

    assert answer.text == "A local model says hello."
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0


def test_the_answer_names_its_model(asker: Asker) -> None:
    asker.peer.script({"text": "ok"})

    assert asker.ask().model == MODELS[asker.dialect]
