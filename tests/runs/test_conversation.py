"""What the model is told: the fold of the log, whatever happened in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openintern.tenancy.scope import org_scope
from runs.engine import conversation
from runs.engine.work import Work
from runs.events import EventType
from runs.models import Event, Run
from runs.tools.registry import ToolContext
from tests.conftest import Person
from tests.runs.test_engine import calls, listen

OPENING: list[conversation.Message] = [
    {"role": "system", "content": "be good"},
    {"role": "user", "content": "the task"},
]


@st.composite
def steps(draw: st.DrawFn) -> list[list[Event]]:
    """The speaking events of finished steps, with people who speak at any time."""
    seq, made = 0, []

    def event(type: str, payload: dict[str, Any]) -> Event:
        nonlocal seq
        seq += 1
        return Event(seq=seq, type=type, payload=payload)

    def said() -> list[Event]:
        return [event(EventType.USER_INJECTED, {"message": f"said {seq}"}) for _ in range(draw(st.integers(0, 2)))]

    for number in range(draw(st.integers(1, 6))):
        step = said()
        heard_seq = seq
        step += said()
        ids = [f"call_{number}_{place}" for place in range(draw(st.integers(0, 3)))]
        asked = [{"id": one, "name": "look", "arguments": "{}"} for one in ids]
        payload = {"text": f"answer {number}", "heardSeq": heard_seq} | ({"toolCalls": asked} if asked else {})
        step.append(event(EventType.LLM_CALLED, payload))
        for one in draw(st.permutations(ids)):
            step += said()
            step.append(event(EventType.TOOL_RESULT, {"tool_call_id": one, "isError": False, "result": {}}))
        made.append([*step, *said()])
    return made


@given(steps())
def test_every_call_is_directly_followed_by_its_replies(made: list[list[Event]]) -> None:
    messages = conversation.fold(OPENING, [event for step in made for event in step])

    assert messages[:2] == OPENING
    assert_paired(messages)


@given(steps())
def test_folding_step_by_step_is_folding_at_once(made: list[list[Event]]) -> None:
    stepwise = list(OPENING)
    for step in made:
        stepwise = conversation.fold(stepwise, step)

    assert stepwise == conversation.fold(OPENING, [event for step in made for event in step])


@given(steps())
def test_everything_that_was_said_is_told_once_and_never_as_if_it_was_answered(made: list[list[Event]]) -> None:
    events = [event for step in made for event in step]

    messages = conversation.fold(OPENING, events)

    places = {message["content"]: place for place, message in enumerate(messages)}
    injected = [event for event in events if event.type == EventType.USER_INJECTED]
    assert sum(message["role"] == "user" for message in messages) == 1 + len(injected)
    for answer in (event for event in events if event.type == EventType.LLM_CALLED):
        for said in injected:
            if said.seq > answer.payload["heardSeq"]:
                assert places[said.payload["message"]] > places[answer.payload["text"]]
            else:
                assert places[said.payload["message"]] < places[answer.payload["text"]]


def look_at(context: ToolContext, tree: int) -> dict[str, Any]:
    """Look at a tree."""
    return {"tree": tree}


def assert_paired(messages: list[conversation.Message]) -> None:
    due: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in due
            due.remove(message["tool_call_id"])
        else:
            assert not due, "a call is left without its reply"
            due = {call["id"] for call in message.get("tool_calls", [])}
    assert not due


def test_twenty_steps_keep_the_task_and_every_pair(
    alice: Person,
    start_run: Callable[..., Run],
    work: Callable[[], int],
    add_tool: Callable[..., Any],
    monkeypatch: Any,
    settings: Any,
) -> None:
    from tests.runs.test_engine import limited

    settings.CONFIG = limited(max_steps=25)
    add_tool(look_at, recovery="pure")
    heard = listen(monkeypatch)
    run = start_run(
        alice,
        "count the trees",
        steps=[*(calls("look_at", "look_at", tree=number) for number in range(20)), {"text": "Twenty."}],
    )

    work()

    assert len(heard) == 21
    for number, request in enumerate(heard):
        assert request.messages[1] == {"role": "user", "content": "count the trees"}
        assert len(request.messages) == 2 + 3 * number
        assert_paired(request.messages)
    assert folded_anew(alice, run) == [*heard[-1].messages, {"role": "assistant", "content": "Twenty."}]


def folded_anew(person: Person, run: Run) -> list[conversation.Message]:
    """What another worker makes of the log."""
    with org_scope(person.org):
        fresh = Work(run=Run.objects.select_related("session").get(pk=run.pk), scope=person.scope, stop=None)  # type: ignore[arg-type]
        fresh.load()
        return fresh.conversation()
