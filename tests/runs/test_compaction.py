"""What a model is shown of a long conversation: within its window, whole, and the same for every worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs import lifecycle
from runs.engine import compaction, conversation, transactions
from runs.engine.compaction import Material, choose
from runs.engine.conversation import Compaction, Message
from runs.events import EventType
from runs.llm import context, scripted
from runs.llm.types import Answer, Request
from runs.models import Event, Run
from runs.tools.registry import ToolContext
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_conversation import OPENING, assert_paired, folded_anew
from tests.runs.test_engine import calls, limited, listen, of_type, types

Start = Callable[..., Run]
Work = Callable[[], int]

AT_MOST = 2_000
text = st.text(alphabet="abc 字\n", max_size=300)
output = st.one_of(text, st.integers(0, 40_000).map(lambda length: "x" * length))


@st.composite
def long_conversations(draw: st.DrawFn) -> list[Event]:
    """The log of many steps, with people who speak between them and outputs of any size."""
    events: list[Event] = []

    def add(step: int, type: str, payload: dict[str, Any]) -> None:
        events.append(Event(seq=len(events) + 1, step=step, type=type, payload=payload))

    for step in range(1, draw(st.integers(1, 25)) + 1):
        for message in draw(st.lists(text, max_size=1)):
            add(step, EventType.USER_INJECTED, {"message": message})
        ids = [f"call_{step}_{place}" for place in range(draw(st.integers(0, 3)))]
        asked = [{"id": one, "name": "look", "arguments": '{"path": "a.md"}'} for one in ids]
        add(step, EventType.LLM_CALLED, {"text": draw(text), "heardSeq": len(events), "toolCalls": asked})
        for one in ids:
            add(step, EventType.TOOL_RESULT, {"tool_call_id": one, "isError": False, "result": draw(output)})
    return events


@st.composite
def materials(draw: st.DrawFn) -> Material:
    earlier = draw(st.lists(st.tuples(text, text), max_size=20))
    return Material(opening=begin, earlier=earlier, events=draw(long_conversations()))


def begin(chosen: Compaction) -> list[Message]:
    return [*OPENING, {"role": "user", "content": chosen.summary}]


@settings(deadline=None)
@given(materials())
def test_the_task_and_the_newest_turn_stay_and_all_of_it_is_whole_and_fits(material: Material) -> None:
    chosen = choose(material, measure=context.estimate, at_most=AT_MOST)

    messages = material.shown(chosen)
    assert messages[: len(OPENING)] == OPENING
    assert_paired(messages)
    assert context.estimate(messages) <= AT_MOST
    newest = [event for event in material.events if event.type == EventType.LLM_CALLED][-1]
    assert newest.payload["text"] in [message["content"] for message in messages if message["role"] == "assistant"]


@settings(deadline=None)
@given(materials())
def test_what_is_kept_is_kept_to_the_letter_or_cut_with_a_mark(material: Material) -> None:
    whole = conversation.fold(OPENING, material.events)

    chosen = choose(material, measure=context.estimate, at_most=AT_MOST)

    kept = material.shown(chosen)[len(OPENING) + 1 :]
    for before, after in zip(whole[len(whole) - len(kept) :], kept, strict=True):
        if before != after:
            assert after["role"] == "tool"
            assert after["content"].startswith(before["content"][: chosen.output_chars])
            assert "more characters" in after["content"]
            assert replace_content(after) == replace_content(before)


def replace_content(message: Message) -> Message:
    return {**message, "content": ""}


@settings(deadline=None)
@given(materials(), long_conversations())
def test_after_a_compaction_the_conversation_only_grows(material: Material, more: list[Event]) -> None:
    chosen = choose(material, measure=context.estimate, at_most=AT_MOST)
    shown = material.shown(chosen)
    last = material.events[-1]
    later = [
        Event(
            seq=chosen.seq + event.seq,
            step=last.step + event.step,
            type=event.type,
            payload=event.payload | {"heardSeq": chosen.seq + event.payload.get("heardSeq", 0)},
        )
        for event in more
    ]

    grown = conversation.fold(begin(chosen), [*material.events, *later], compaction=chosen)

    assert grown[: len(shown)] == shown
    assert grown == conversation.fold(shown, later, compaction=chosen)


@settings(deadline=None)
@given(materials())
def test_the_same_log_is_always_summed_up_alike(material: Material) -> None:
    first, second = (choose(material, measure=context.estimate, at_most=AT_MOST) for _ in range(2))

    assert first == second
    assert len(first.summary) <= AT_MOST // 2
    for line in first.summary.splitlines()[1:]:
        assert line.startswith("- ") or line in SECTIONS, "a quotation passes for a heading"


SECTIONS = {"Before this task:", "Said since then:", "Files read:", "Files changed:", "Done so far:"}


# ---- in a run -----------------------------------------------------------------------------------------------------


#: Tokens for a prompt: what every agent is told and offered, which is more than half of it, and some pages.
ROOM = 9_500


def window(tokens: int, **agent: Any) -> Any:
    """The configuration with a window that leaves `tokens` for the prompt."""
    return limited(context_tokens=tokens + 2_000 + 4_096, max_steps=60, max_tokens_per_run=10**9, **agent)


def read(context: ToolContext, path: str) -> dict[str, Any]:
    """Read."""
    return {"path": path, "text": f"the text of {path} " * 40}


@pytest.fixture
def heard(add_tool: Callable[..., Any], settings: Any, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the model is asked, in runs with a small window."""
    settings.CONFIG = window(ROOM)
    add_tool(read, recovery="pure")
    monkeypatch.setattr(scripted.Performance, "_answer", counted(scripted.Performance._answer))
    return listen(monkeypatch)


def counted(original: Any) -> Any:
    """A provider that counts its prompts, in tokens of a size of its own."""

    def answer(self: scripted.Performance) -> Answer:
        given = original(self)
        tokens = round(context.estimate(self._request.messages, self._request.tools) * 1.2)
        return replace(given, usage=replace(given.usage, prompt_tokens=tokens))

    return answer


def reading(count: int) -> list[dict[str, Any]]:
    return [calls("read", path=f"page-{number}.md") for number in range(count)]


def start_script(start_run: Start, person: Person, name: str, *steps: dict[str, Any], **options: Any) -> Run:
    """Start a run of a script that counts purchases: the answers in the conversation become fewer."""
    scripted.play(name, *steps)
    return start_run(person, "count the pages", llm_config={"provider": "scripted", "model": name}, **options)


def test_a_long_run_is_warned_of_once_and_compacted_as_often_as_it_takes(
    alice: Person, start_run: Start, work: Work, heard: list[Request]
) -> None:
    run = start_script(start_run, alice, "long", *reading(50), {"text": "Fifty."})

    work()

    events = events_of(alice, run)
    compacted = of_type(events, "run.compacted")
    assert status_of(alice, run) == "completed"
    assert [warning["code"] for warning in of_type(events, "run.warning")] == ["CONTEXT_HIGH_WATER"]
    assert 2 <= len(compacted) <= 10
    assert all(one["messages_after"] < one["messages_before"] and one["tokens_saved"] > 0 for one in compacted)
    assert all(request.messages[1] == {"role": "user", "content": "count the pages"} for request in heard)
    for request in heard:
        assert_paired(request.messages)
        assert context.estimate(request.messages, request.tools) * 1.2 < ROOM
    assert all("read(path=page-" in one["summary"] for one in compacted)
    assert types(events).count("tool.result") == 50


def test_between_compactions_what_was_sent_is_only_added_to(
    alice: Person, start_run: Start, work: Work, heard: list[Request]
) -> None:
    run = start_script(start_run, alice, "stable", *reading(30), {"text": "Thirty."})

    work()

    compacted_in = {event.step for event in events_of(alice, run) if event.type == "run.compacted"}
    assert compacted_in
    for step, (before, after) in enumerate(pairwise(heard), start=2):
        assert after.tools == before.tools
        is_longer = after.messages[: len(before.messages)] == before.messages
        assert is_longer != (step in compacted_in)


@pytest.mark.parametrize("place", ["finish_step", "record_answer"])
def test_a_worker_that_takes_over_sees_the_same_conversation(
    alice: Person, start_run: Start, work: Work, heard: list[Request], crash_in: Callable[..., None], place: str
) -> None:
    run = start_script(start_run, alice, "taken over", *reading(22), {"text": "Done."})
    for _ in range(2):
        crash_in(transactions, place, after=True)
    work()

    assert status_of(alice, run) == "completed"
    assert of_type(events_of(alice, run), "run.compacted")
    assert folded_anew(alice, run) == [*heard[-1].messages, {"role": "assistant", "content": "Done."}]
    for request in heard:
        assert_paired(request.messages)


def test_a_crash_right_after_a_compaction_changes_nothing(
    alice: Person, start_run: Start, work: Work, heard: list[Request], crash_in: Callable[..., None]
) -> None:
    run = start_script(start_run, alice, "compacted", *reading(18), {"text": "Done."})

    crash_in(compaction, "_compact", after=True)
    seen = folded_anew(alice, run)
    asked_before = len(heard)
    work()

    assert heard[asked_before].messages == seen
    assert status_of(alice, run) == "completed"


def test_a_prompt_that_the_provider_finds_too_long_is_compacted_and_sent_again(
    alice: Person, start_run: Start, work: Work, heard: list[Request]
) -> None:
    too_long = {"error": "LLM_CONTEXT_TOO_LONG", "message": "maximum context length"}
    run = start_script(start_run, alice, "refused", *reading(6), too_long, {"text": "Six."})

    work()

    events = events_of(alice, run)
    assert reload(alice, run).output == "Six."
    assert [one["reason"] for one in of_type(events, "run.compacted")] == ["refused"]
    assert len(heard[-1].messages) < len(heard[-2].messages)


@pytest.mark.parametrize("read_before", [0, 6])
def test_a_prompt_that_stays_too_long_ends_the_run(
    alice: Person, start_run: Start, work: Work, heard: list[Request], read_before: int
) -> None:
    too_long = {"error": "LLM_CONTEXT_TOO_LONG", "message": "maximum context length"}
    run = start_script(start_run, alice, f"too long {read_before}", *reading(read_before), too_long, too_long, too_long)

    work()

    compactions = 1 if read_before else 0  # a task alone can't be made shorter
    assert reload(alice, run).error == {"code": "LLM_CONTEXT_TOO_LONG", "message": "maximum context length"}
    assert len(of_type(events_of(alice, run), "run.compacted")) == compactions
    assert len(heard) == read_before + 1 + compactions


def test_a_crash_does_not_buy_a_refused_prompt_another_try(
    alice: Person, start_run: Start, work: Work, heard: list[Request], crash_in: Callable[..., None]
) -> None:
    too_long = {"error": "LLM_CONTEXT_TOO_LONG", "message": "maximum context length"}
    run = start_script(start_run, alice, "again", *reading(6), too_long, too_long, too_long)

    crash_in(compaction, "_shrink", after=True)
    work()

    assert reload(alice, run).error["code"] == "LLM_CONTEXT_TOO_LONG"  # type: ignore[index]
    assert len(of_type(events_of(alice, run), "run.compacted")) == 1
    assert len(heard) == 8


def test_what_people_said_and_the_session_before_are_in_the_summary(
    alice: Person, start_run: Start, work: Work, heard: list[Request], add_tool: Callable[..., Any]
) -> None:
    def listen_in(context: ToolContext) -> dict[str, Any]:
        """Meanwhile somebody speaks."""
        lifecycle.inject_message(alice.scope, context.run_id, message="Leave out\nDone so far:\nthe index!")
        return {}

    add_tool(listen_in, recovery="pure")
    start_script(start_run, alice, "before", {"text": "It has 800 pages."}, session_key="s_summary")
    work()
    run = start_script(
        start_run, alice, "after", calls("listen_in"), *reading(20), {"text": "Done."}, session_key="s_summary"
    )

    work()

    [first, *_] = of_type(events_of(alice, run), "run.compacted")
    assert "asked: count the pages | answered: It has 800 pages." in first["summary"]
    assert "- Leave out Done so far: the index!" in first["summary"]
    assert "It has 800 pages." in heard[-1].messages[2]["content"]
    assert [message["role"] for message in heard[-1].messages[:4]] == ["system", "user", "user", "assistant"]


def test_a_call_id_that_the_model_uses_again_is_made_a_new_one(
    alice: Person, start_run: Start, work: Work, heard: list[Request]
) -> None:
    steps = [
        {"tool_calls": [{"name": "read", "arguments": {"path": f"{number}.md"}, "id": f"call_{number % 12}"}]}
        for number in range(36)
    ]
    run = start_script(start_run, alice, "same ids", *steps, {"text": "Done."})

    work()

    ids = [result["tool_call_id"] for result in of_type(events_of(alice, run), "tool.result")]
    assert status_of(alice, run) == "completed"
    assert len(ids) == len(set(ids)) == 36


def test_one_huge_output_is_cut_when_it_does_not_fit(
    alice: Person, start_run: Start, work: Work, heard: list[Request], add_tool: Callable[..., Any]
) -> None:
    def flood(context: ToolContext) -> dict[str, Any]:
        """Say a lot."""
        return {"text": "water " * 20_000}

    add_tool(flood, recovery="pure")
    run = start_script(start_run, alice, "flood", calls("flood"), {"text": "Wet."})

    work()

    reply = heard[-1].messages[-1]
    assert status_of(alice, run) == "completed"
    assert reply["role"] == "tool"
    assert "more characters; ask again" in reply["content"]
    assert len(of_type(events_of(alice, run), "tool.result")[0]["result"]["text"]) > 15_000


@pytest.mark.parametrize(
    ("model", "at_most", "tokens"),
    [
        ("gpt-4", 128_000, 8_192),
        ("gpt-4o-mini", 128_000, 128_000),
        ("openrouter/anthropic/claude-sonnet-4-5", 500_000, 200_000),
        ("gpt-4o", 50_000, 50_000),
        ("somebody's own", 32_000, 32_000),
    ],
)
def test_a_window_is_what_the_operator_allows_and_the_model_takes(model: str, at_most: int, tokens: int) -> None:
    assert context.window_of(model, at_most=at_most) == tokens


def test_an_estimate_is_corrected_by_what_was_counted_within_reason() -> None:
    assert context.correction(counted=150, estimated=100) == 1.5
    assert context.correction(counted=1, estimated=100) == 0.5
    assert context.correction(counted=10_000, estimated=100) == 4.0
    assert context.correction(counted=0, estimated=100) == 1.0


def test_an_image_counts_as_an_image_not_as_its_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}

    tokens = context.estimate([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])

    assert 1_000 < tokens < 3_000
