"""What providers do on bad days, and what becomes of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from runs.llm.ask import Patience, ask
from runs.llm.collect import MARK, MAX_CHARS
from runs.llm.litellm_adapter import load
from runs.llm.tool_calls import MAX_CALLS, MAX_KEPT
from runs.llm.types import ModelError, Retry
from tests.llm.conftest import HASTY, KEY, ONCE, Asker, Configure
from tests.peers import llm_formats

CALL = {"text": "Let me look.", "tool_calls": [{"name": "read_file", "arguments": {"path": "notes/2026.txt"}}]}
MID_STREAM_ERRORS = {
    "openai": 'data: {"error": {"message": "Server error KEY", "type": "server_error", "code": null}}\n\n',
    "responses": 'data: {"type": "error", "code": "server_error", "message": "KEY", "param": null}\n\n',
    "anthropic": 'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "KEY"}}\n\n',
    "ollama": '{"error": "llama runner process has terminated KEY"}\n',
    "gemini": 'data: {"error": {"code": 503, "message": "Overloaded KEY", "status": "UNAVAILABLE"}}\n\n',
}


def test_a_rate_limit_is_waited_out_as_told(asker: Asker) -> None:
    asker.peer.script({"status": 429, "headers": {"Retry-After": "0.2"}}, {"text": "ok"})

    answer = asker.ask()

    assert answer.text == "ok"
    assert [(retry.attempt, retry.reason, retry.delay_ms) for retry in asker.retries] == [(1, "LLM_RATE_LIMITED", 200)]
    first, second = asker.peer.requests
    assert second.at - first.at >= 0.2


def test_nobody_is_waited_for_longer_than_the_cap(openai: Asker) -> None:
    openai.peer.script({"status": 429, "headers": {"Retry-After": "3600"}}, {"text": "ok"})

    openai.ask(patience=replace(HASTY, longest_retry_after=0.05))

    assert openai.retries[0].delay_ms == 50


def test_a_retry_date_is_understood(openai: Asker) -> None:
    openai.peer.script({"status": 503, "headers": {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}}, {"text": "ok"})

    openai.ask()

    assert openai.retries[0].delay_ms == 0


@pytest.mark.parametrize(
    ("status", "code"), [(429, "LLM_RATE_LIMITED"), (500, "LLM_UNAVAILABLE"), (529, "LLM_UNAVAILABLE")]
)
def test_a_provider_that_fails_for_ever_is_asked_four_times(asker: Asker, status: int, code: str) -> None:
    asker.peer.script({"status": status})

    error = asker.fail()

    assert error.code == code
    assert "4 times" in error.message
    assert len(asker.peer.requests) == 4
    assert [retry.attempt for retry in asker.retries] == [1, 2, 3]


def test_no_purchase_begins_after_the_retry_window(openai: Asker) -> None:
    openai.peer.script({"status": 429, "headers": {"Retry-After": "30"}})

    error = openai.fail(patience=replace(HASTY, retry_window=20))

    assert error.code == "LLM_RATE_LIMITED"
    assert len(openai.peer.requests) == 1


def test_waits_grow_and_are_spread(openai: Asker) -> None:
    openai.peer.script({"status": 500})

    openai.fail(patience=replace(HASTY, first_delay=0.04))

    for retry, wanted in zip(openai.retries, (40, 80, 160), strict=True):
        assert 0.75 * wanted - 1 <= retry.delay_ms <= 1.25 * wanted + 1


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (401, f"Incorrect API key provided: {KEY}", "LLM_AUTH"),
        (403, "Not for you", "LLM_AUTH"),
        (400, "API key not valid. Please pass a valid API key.", "LLM_AUTH"),
        (400, f"Unsupported parameter, key {KEY}", "LLM_BAD_REQUEST"),
        (404, f"The model does not exist for {KEY}", "LLM_BAD_REQUEST"),
        (422, "Unprocessable", "LLM_BAD_REQUEST"),
        (302, "Moved", "LLM_BAD_REQUEST"),
        (429, "You exceeded your current quota [insufficient_quota]", "LLM_RATE_LIMITED"),
        (400, "This model's maximum context length is 8192 tokens.", "LLM_CONTEXT_TOO_LONG"),
        (400, "prompt is too long: 213000 tokens > 200000 maximum", "LLM_CONTEXT_TOO_LONG"),
        (400, "The input token count (2) exceeds the maximum number of tokens allowed (1).", "LLM_CONTEXT_TOO_LONG"),
        (413, "Request too large", "LLM_CONTEXT_TOO_LONG"),
    ],
)
def test_what_asking_again_would_not_mend_is_asked_once(asker: Asker, status: int, message: str, code: str) -> None:
    asker.peer.script({"status": status, "body": {"error": {"message": message}}})

    error = asker.fail()

    assert (error.code, error.retryable) == (code, False)
    assert len(asker.peer.requests) == 1


def test_the_library_never_asks_again_by_itself(openai: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where anybody in the process has told litellm to drop parameters, it repeats what was unprocessable."""
    monkeypatch.setattr(load(), "drop_params", True)
    openai.peer.script({"status": 422, "body": {"error": {"message": "Unprocessable"}}})

    error = openai.fail()

    assert error.code == "LLM_BAD_REQUEST"
    assert len(openai.peer.requests) == 1


def test_a_provider_that_nobody_answers_for_is_unavailable(openai: Asker, configure: Configure) -> None:
    configure(provider="openai", model="gpt-4o", api_key=KEY, base_url="http://127.0.0.1:9/v1")

    error = openai.fail(patience=ONCE)

    assert (error.code, error.retryable) == ("LLM_UNAVAILABLE", True)


@pytest.mark.parametrize("ending", ["clean", "close", "reset"])
def test_a_stream_cut_anywhere_is_either_whole_or_incomplete(asker: Asker, ending: str) -> None:
    length = sum(map(len, getattr(llm_formats, asker.dialect)(CALL, "a-model-name")))
    asker.peer.script(CALL)
    whole = asker.ask(patience=ONCE)
    outcomes: list[str] = []
    for cut in range(0, length, length // 40):
        asker.peer.script({**CALL, "cut": cut, "ending": ending})
        try:
            answer = asker.ask(patience=ONCE)
        except ModelError as error:
            outcomes.append(error.code)
        else:
            outcomes.append("whole")
            assert (answer.text, answer.finish_reason, answer.usage) == (whole.text, whole.finish_reason, whole.usage)
            assert [call.arguments for call in answer.tool_calls] == [call.arguments for call in whole.tool_calls]

    assert set(outcomes) <= {"whole", "LLM_INCOMPLETE"}
    assert outcomes[: len(outcomes) // 2] == ["LLM_INCOMPLETE"] * (len(outcomes) // 2)


def test_a_cut_answer_is_bought_again_and_its_text_is_void(asker: Asker) -> None:
    asker.peer.script({**CALL, "cut": -300}, {"text": "Second try."})
    void: list[str] = []

    def start_over(retry: Retry) -> None:
        void.extend(asker.said)
        asker.said.clear()
        asker.retries.append(retry)

    answer = ask(asker.request(), stop=asker.stop, on_text=asker.said.append, on_retry=start_over, patience=HASTY)

    assert answer.text == "".join(asker.said) == "Second try."
    assert "".join(void).startswith("Let me")
    assert [retry.reason for retry in asker.retries] == ["LLM_INCOMPLETE"]


def test_a_page_instead_of_a_stream_is_no_answer(asker: Asker) -> None:
    asker.peer.script({"raw": "<html><body>Please sign in to the wireless network.</body></html>"})

    error = asker.fail(patience=ONCE)

    assert error.code == "LLM_INCOMPLETE"


def test_an_error_in_the_middle_of_a_stream_is_asked_again(asker: Asker) -> None:
    asker.peer.script({"raw": MID_STREAM_ERRORS[asker.dialect].replace("KEY", KEY)}, {"text": "ok"})

    answer = asker.ask()

    assert answer.text == "ok"
    assert [retry.reason for retry in asker.retries] == ["LLM_UNAVAILABLE"]
    assert KEY not in asker.retries[0].message


def test_pings_are_no_progress(asker: Asker) -> None:
    asker.peer.script({"hold": "never", "pings": True, "hold_after": 2, **CALL}, {"text": "ok"})

    answer = asker.ask(patience=replace(HASTY, idle=0.5))

    assert answer.text == "ok"
    assert [retry.reason for retry in asker.retries] == ["LLM_TIMEOUT"]
    asker.peer.wait_outcome(0, "gone")


def test_arguments_that_arrive_slowly_are_progress(openai: Asker) -> None:
    openai.peer.script({"tool_calls": [{"name": "t", "arguments": {"n": n}} for n in range(4)], "drip": 0.1})

    answer = openai.ask(patience=Patience(idle=0.6, total=20, purchases=1))

    assert len(answer.tool_calls) == 4


def test_a_stream_that_drips_for_ever_ends_at_the_total(openai: Asker) -> None:
    openai.peer.script({"pieces": ["drop "] * 1000, "drip": 0.05})
    began = time.monotonic()

    error = openai.fail(patience=Patience(idle=10, total=0.6, purchases=1))

    assert error.code == "LLM_TIMEOUT"
    assert time.monotonic() - began < 2
    assert openai.said


def test_a_listener_hears_of_silence(openai: Asker) -> None:
    openai.peer.script({"pieces": ["Half", " done"], "hold": "gate", "hold_after": 2})
    heard: list[list[str]] = []

    def on_silence() -> None:
        heard.append(list(openai.said))
        if openai.said:
            openai.peer.release("gate")

    answer = ask(
        openai.request(),
        stop=openai.stop,
        on_text=openai.said.append,
        on_silence=on_silence,
        on_retry=openai.retries.append,
    )

    assert answer.text == "Half done"
    assert heard[-1] == ["Half"]


def test_a_busy_listener_is_not_a_silent_provider(openai: Asker) -> None:
    openai.peer.script({"pieces": ["one", "two", "three"]})

    def listen_slowly(text: str) -> None:
        time.sleep(0.4)
        openai.said.append(text)

    ask(
        openai.request(),
        stop=openai.stop,
        on_text=listen_slowly,
        on_retry=openai.retries.append,
        patience=replace(ONCE, idle=0.3),
    )

    assert openai.said == ["one", "two", "three"]


@pytest.mark.parametrize("dialect", ["openai", "responses", "anthropic"], indirect=True)
@pytest.mark.parametrize(
    "raw", ['{"path": "a', "[1, 2]", '"a"', "null", "{'path': 'a'}", '{"n": NaN}', '{"n": 1e999}', "[" * 50_000]
)
def test_malformed_arguments_are_never_taken_for_none(asker: Asker, raw: str) -> None:
    asker.peer.script({"tool_calls": [{"name": "read_file", "arguments": raw}]})

    (call,) = asker.ask(patience=ONCE).tool_calls

    assert call.arguments is None
    assert call.raw == raw
    assert "JSON" in call.error


def test_arguments_that_end_at_the_length_limit_say_why(openai: Asker) -> None:
    openai.peer.script({"tool_calls": [{"name": "write_file", "arguments": '{"content": "Once'}], "finish": "length"})

    (call,) = openai.ask().tool_calls

    assert call.arguments is None
    assert "length limit" in call.error


def test_too_many_calls_at_once_are_refused_one_by_one(openai: Asker) -> None:
    openai.peer.script({"tool_calls": [{"name": "t", "arguments": {"n": n}} for n in range(200)]})

    calls = openai.ask().tool_calls

    assert len(calls) == MAX_KEPT
    assert [call.arguments for call in calls[:MAX_CALLS]] == [{"n": n} for n in range(MAX_CALLS)]
    assert all(call.arguments is None and "too many" in call.error for call in calls[MAX_CALLS:])


def test_doubled_missing_and_strange_ids_are_replaced_alike_each_time(openai: Asker) -> None:
    ids = ["same", "same", None, "", "ünïcode", "x" * 65, "call_old", "fine"]
    openai.peer.script({"tool_calls": [{"name": "t", "arguments": {}, "id": identity} for identity in ids]})
    old = {"id": "call_old", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "", "tool_calls": [old]},
        {"role": "tool", "tool_call_id": "call_old", "content": "done"},
    ]

    first = [call.id for call in openai.ask(messages=messages).tool_calls]
    second = [call.id for call in openai.ask(messages=messages).tool_calls]

    assert first == second
    assert len({*first, "call_old"}) == len(ids) + 1
    assert (first[0], first[-1]) == ("same", "fine")
    assert all(len(identity) <= 64 and identity.isascii() for identity in first)


def test_a_huge_answer_is_cut_with_a_mark(asker: Asker) -> None:
    asker.peer.script({"pieces": [f"{n:06}" + "x" * 99_994 for n in range(200)]})

    answer = asker.ask(patience=ONCE)

    assert answer.truncated
    assert len(answer.text) == MAX_CHARS + len(MARK)
    assert answer.text.endswith(MARK)
    assert "".join(asker.said) == answer.text
    assert answer.usage.completion_tokens >= MAX_CHARS // 4
    assert bool(answer.usage.cost) == (asker.dialect != "ollama")
    assert asker.peer.requests[0].sent < 20_000_000


def test_what_can_not_be_stored_is_replaced(asker: Asker) -> None:
    call = {"name": "read_file", "arguments": json.dumps({"path": "a\0b\ud800"})}
    asker.peer.script({"pieces": ["nul \0, whole \ud83d", "\ude00, half \ud83d", " and \ud83d"], "tool_calls": [call]})

    answer = asker.ask(patience=ONCE)

    assert answer.text == "nul \ufffd, whole 😀, half \ufffd and \ufffd" == "".join(asker.said)
    assert answer.tool_calls[0].arguments == {"path": "a\ufffdb\ufffd"}
    answer.tool_calls[0].raw.encode()
