"""Events that a tool brings with its result: in its transaction, once, whatever crashes; and for whom a tool is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runs.engine import transactions
from runs.events import Draft, EventType
from runs.models import Run
from runs.tools.policy import Lists, Mandate, Verdict, decide, offered_tools
from runs.tools.registry import ToolContext, ToolError, build
from tests.conftest import Person, events_of
from tests.runs.test_engine import calls

Start = Callable[..., Run]
Work = Callable[[], int]


def tell(context: ToolContext, name: str = "it") -> dict[str, Any]:
    """Tell the others."""
    context.news.append(Draft(EventType.MESSAGE_STATUS, {"text": context.tool_call_id}))
    if name == "nothing":
        raise ToolError("Nothing to tell")
    return {"told": True}


def types_and_texts(person: Person, run: Run) -> list[tuple[str, str]]:
    wanted = {"tool.result", "message.status", "step.completed"}
    return [(event.type, event.payload.get("text", "")) for event in events_of(person, run) if event.type in wanted]


def test_what_a_tool_tells_stands_behind_its_result(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    add_tool(tell, recovery="keyed", mutating=True)
    run = start_run(alice, steps=[calls("tell", "tell"), {"text": "Done."}])

    work()

    assert types_and_texts(alice, run) == [
        ("tool.result", ""),
        ("message.status", "c0_tell"),
        ("tool.result", ""),
        ("message.status", "c1_tell"),
        ("step.completed", ""),
        ("step.completed", ""),
    ]


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_around_the_result_leaves_the_news_once(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any], crash_in: Callable[..., None], after: bool
) -> None:  # fmt: skip
    add_tool(tell, recovery="keyed", mutating=True)
    run = start_run(alice, steps=[calls("tell"), {"text": "Done."}])

    crash_in(transactions, "finish_step", after=after)
    work()

    assert [text for type, text in types_and_texts(alice, run) if type == "message.status"] == ["c0_tell"]


def test_a_call_that_fails_tells_nothing(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    add_tool(tell, recovery="keyed", mutating=True)
    failing = {"tool_calls": [{"name": "tell", "arguments": {"name": "nothing"}}]}
    run = start_run(alice, steps=[failing, {"text": "Done."}])

    work()

    assert "message.status" not in [type for type, _ in types_and_texts(alice, run)]


def test_an_envelope_says_which_kind_of_message_it_is(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    add_tool(tell, recovery="keyed", mutating=True)
    run = start_run(alice, steps=[calls("tell"), {"text": "Done."}])
    work()

    events = alice.with_key().get(f"/api/runs/{run.pk}/events").json()["events"]

    assert {one["type"]: one["message_type"] for one in events if one["message_type"]} == {"message.status": "status"}
    assert {one["group_id"] for one in events} == {None}


@pytest.mark.parametrize(("seat", "sees"), [("", set()), ("member", {"say"}), ("lead", {"say", "rule"})])
def test_members_are_offered_what_members_say_and_the_lead_the_last_word(
    add_tool: Callable[..., Any], seat: Any, sees: set[str]
) -> None:
    for name, whose in (("say", "member"), ("rule", "lead")):
        add_tool(named(name), recovery="keyed", mutating=True, seat=whose)

    offered = {tool.name for tool in offered_tools(seat=seat)}

    assert offered & {"say", "rule"} == sees


def test_a_list_of_tools_does_not_silence_a_member_unless_it_says_so() -> None:
    say = build(named("say"), risk="low", recovery="keyed", mutating=True, hazard="none", taints=False, seat="member")

    def verdict(lists: Lists) -> Verdict:
        return decide(tool=say, mandate=Mandate(role=lists, delegated=lists)).verdict

    assert verdict(Lists(allowed=("read_file",))) is Verdict.ALLOW
    assert verdict(Lists(denied=("say",))) is Verdict.DENY


def named(name: str) -> Callable[..., dict[str, Any]]:
    def function(context: ToolContext) -> dict[str, Any]:
        """Say something."""
        return {}

    function.__name__ = name
    return function
