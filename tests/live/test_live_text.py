"""The answer that is being written: seen as it grows, by everybody whenever they come, and whole in the end."""

from __future__ import annotations

from collections.abc import Callable

from runs.events import Draft, EventType
from tests.live.conftest import Script
from tests.live.sse import Tap

Browse = Callable[..., Tap]


def test_text_comes_while_it_is_written_and_adds_up_to_the_answer(browse: Browse, script: Script) -> None:
    tap = browse(script.url).wait_for(lambda tap: tap.seqs == [1])

    for text in ("Hel", "Hello wor", "Hello world, 你好 🎉"):
        script.say(text)
        tap.wait_for(lambda tap, text=text: tap.said == text, seconds=2)  # type: ignore[misc]
    script.answer("Hello world, 你好 🎉.")
    script.finish()
    tap.to_the_end()

    assert [token["token"] for token in tap.tokens] == ["Hel", "lo wor", "ld, 你好 🎉", "."]
    assert [token["offset"] for token in tap.tokens] == [0, 3, 9, 17]
    assert [token["tokenIndex"] for token in tap.tokens] == [0, 1, 2, 3]
    assert [sent.type for sent in tap.sent if sent.type][-3:] == ["llm.token", "llm.called", "run.completed"]


def test_a_piece_of_text_has_no_number_and_the_envelope_of_its_run(browse: Browse, script: Script) -> None:
    tap = browse(script.url)
    script.say("x")
    tap.wait_for(lambda tap: bool(tap.tokens))

    token = next(sent for sent in tap.sent if sent.type == "llm.token")

    assert token.event == "run.event"
    assert token.id is None
    assert "seq" not in token.data
    assert token.data["run_id"] == script.run.pk
    assert token.data["session_key"] == "s_live"
    assert set(token.data["payload"]) == {"token", "tokenIndex", "offset", "stepNumber"}


def test_whoever_joins_in_the_middle_gets_all_the_text_so_far_as_one_piece(browse: Browse, script: Script) -> None:
    early = browse(script.url)
    script.say("Once upon")
    early.wait_for(lambda tap: tap.said == "Once upon")
    script.say("Once upon a time")
    early.wait_for(lambda tap: tap.said == "Once upon a time")

    late = browse(script.url).wait_for(lambda tap: bool(tap.tokens))
    script.say("Once upon a time, there")
    late.wait_for(lambda tap: tap.said.endswith("there"))
    early.wait_for(lambda tap: tap.said.endswith("there"))

    assert late.tokens[0] | {"stepNumber": 0} == {
        "token": "Once upon a time",
        "tokenIndex": 0,
        "offset": 0,
        "stepNumber": 0,
    }
    assert late.said == early.said == "Once upon a time, there"


def test_a_reconnecting_client_gets_the_text_from_its_start_again(browse: Browse, script: Script) -> None:
    script.say("half an ans")
    browse(script.url).wait_for(lambda tap: tap.said == "half an ans").close()

    again = browse(script.url, **{"Last-Event-ID": "1"}).wait_for(lambda tap: tap.said == "half an ans")

    assert again.seqs == []
    assert again.tokens[0]["offset"] == 0


def test_each_step_and_each_attempt_begins_at_offset_0(browse: Browse, script: Script) -> None:
    tap = browse(script.url)
    script.write(Draft(EventType.STEP_STARTED), step=1)
    script.say("same text")
    tap.wait_for(lambda tap: len(tap.tokens) == 1)

    script.write(Draft(EventType.RUN_RESUMED), attempt=script.run.attempt + 1)
    script.say("same text")
    tap.wait_for(lambda tap: len(tap.tokens) == 2)
    script.answer("same text")
    script.write(Draft(EventType.STEP_STARTED), step=2)
    script.say("same text")
    tap.wait_for(lambda tap: len(tap.tokens) == 3)

    assert [(token["offset"], token["stepNumber"]) for token in tap.tokens] == [(0, 1), (0, 1), (0, 2)]


def test_text_that_was_taken_back_is_replaced(browse: Browse, script: Script) -> None:
    tap = browse(script.url)
    script.say("a wrong start")
    tap.wait_for(lambda tap: tap.said == "a wrong start")

    script.say("")
    script.say("a good one")
    tap.wait_for(lambda tap: tap.said == "a good one", seconds=2)
    script.answer("a good one")
    script.finish()

    assert tap.to_the_end().said == "a good one"


def test_an_answer_that_came_at_once_is_said_before_it_is_reported(browse: Browse, script: Script) -> None:
    tap = browse(script.url)

    script.answer("quick")
    script.finish()
    tap.to_the_end()

    assert tap.said == "quick"
    assert [sent.type for sent in tap.sent if sent.type] == ["run.started", "llm.token", "llm.called", "run.completed"]


def test_a_replay_says_each_finished_answer_in_one_piece(browse: Browse, script: Script) -> None:
    for step in (1, 2):
        script.write(Draft(EventType.STEP_STARTED), step=step)
        script.answer(f"answer {step}")
    script.finish()

    tap = browse(script.url).to_the_end()

    assert [(token["token"], token["stepNumber"]) for token in tap.tokens] == [("answer 1", 1), ("answer 2", 2)]
