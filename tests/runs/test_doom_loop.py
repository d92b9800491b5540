"""A model that gets nowhere is told so, and then stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.tenancy.scope import org_scope
from runs.engine import transactions
from runs.models import Checkpoint, Effect, Event, Run
from runs.tools.registry import ToolContext
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_conversation import assert_paired
from tests.runs.test_engine import calls, limited, listen, of_type, types

Start = Callable[..., Run]
Work = Callable[[], int]

BROKEN = {"tool_calls": [{"name": "pull", "arguments": "{broken"}, {"name": "no_such_tool", "arguments": {}}]}


@pytest.fixture
def pulls(add_tool: Callable[..., Any], settings: Any) -> list[str]:
    """A lever, and who pulled it."""
    pulled: list[str] = []

    def pull(context: ToolContext, lever: str = "left", strength: int = 1) -> dict[str, Any]:
        """Pull a lever."""
        pulled.append(context.tool_call_id)
        return {"pulled": lever}

    add_tool(pull, recovery="pure")
    settings.CONFIG = limited(max_steps=20)
    return pulled


def error_codes(events: list[Event]) -> list[str]:
    return [result["error"]["code"] for result in of_type(events, "tool.result") if result["isError"]]


def test_the_third_identical_step_is_warned_of_and_not_carried_out(
    alice: Person, start_run: Start, work: Work, pulls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = listen(monkeypatch)
    twice = {"tool_calls": [{"name": "pull", "arguments": {"lever": lever}} for lever in ("left", "right")]}
    run = start_run(alice, steps=[twice, twice, twice, {"text": "It does nothing."}])

    work()

    events = events_of(alice, run)
    assert status_of(alice, run) == "completed"
    assert len(pulls) == 4
    assert [warning["code"] for warning in of_type(events, "run.warning")] == ["DOOM_LOOP_DETECTED"]
    assert error_codes(events) == ["DOOM_LOOP", "DOOM_LOOP"]
    assert types(events).count("tool.blocked") == 2
    assert_paired(heard[-1].messages)
    replies = heard[-1].messages[-2:]
    assert all(reply["role"] == "tool" and "Change your approach" in reply["content"] for reply in replies)


def test_a_stopped_loop_is_a_whole_step(alice: Person, start_run: Start, work: Work, pulls: list[str]) -> None:
    run = start_run(alice, steps=[calls("pull"), calls("pull"), calls("pull"), {"text": "Done."}])

    work()

    completed = [(event.step, event.seq) for event in events_of(alice, run) if event.type == "step.completed"]
    with org_scope(alice.org):
        assert list(Checkpoint.objects.filter(run=run).order_by("step").values_list("step", "seq")) == completed
        assert set(Effect.objects.filter(run=run).values_list("step", "status")) == {(1, "done"), (2, "done")}
    assert [step for step, _ in completed] == [1, 2, 3, 4]


def test_a_model_that_goes_on_repeating_itself_is_stopped(
    alice: Person, start_run: Start, work: Work, pulls: list[str]
) -> None:
    run = start_run(alice, steps=[calls("pull")] * 10)

    work()

    events = events_of(alice, run)
    assert reload(alice, run).error["code"] == "DOOM_LOOP"  # type: ignore[index]
    assert len(of_type(events, "run.warning")) == 3
    assert types(events).count("llm.called") == 5
    assert len(pulls) == 2


def test_neither_the_order_of_calls_nor_that_of_keys_hides_a_loop(
    alice: Person, start_run: Start, work: Work, pulls: list[str]
) -> None:
    steps = [
        {"tool_calls": [{"name": "pull", "arguments": arguments} for arguments in step]}
        for step in (
            ['{"lever": "a", "strength": 2}', '{"lever": "b"}'],
            ['{"lever":"b"}', '{"strength": 2, "lever": "a"}'],
            ['{"strength":2,"lever":"a"}', '{"lever": "b"}'],
        )
    ]
    run = start_run(alice, steps=[*steps, {"text": "Done."}])

    work()

    assert [warning["code"] for warning in of_type(events_of(alice, run), "run.warning")] == ["DOOM_LOOP_DETECTED"]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([{"lever": "a"}, {"lever": "a"}, {"lever": "b"}, {"lever": "a"}], id="another step between"),
        pytest.param([{"strength": 1}, {"strength": 2}, {"strength": 3}, {"strength": 4}], id="other arguments"),
    ],
)
def test_a_model_that_varies_what_it_does_is_let_be(
    alice: Person, start_run: Start, work: Work, pulls: list[str], arguments: list[dict[str, Any]]
) -> None:
    run = start_run(alice, steps=[*(calls("pull", **one) for one in arguments), {"text": "Done."}])

    work()

    assert of_type(events_of(alice, run), "run.warning") == []
    assert len(pulls) == 4


def test_three_steps_of_calls_that_cannot_be_made_end_the_run(
    alice: Person, start_run: Start, work: Work, pulls: list[str]
) -> None:
    run = start_run(alice, steps=[BROKEN] * 5)

    work()

    events = events_of(alice, run)
    assert reload(alice, run).error["code"] == "INVALID_TOOL_CALLS"  # type: ignore[index]
    assert error_codes(events) == ["INVALID_ARGUMENTS", "TOOL_NOT_FOUND"] * 3
    assert types(events).count("step.completed") == 3
    assert of_type(events, "run.warning") == []


def test_one_good_call_makes_up_for_the_bad_ones(alice: Person, start_run: Start, work: Work, pulls: list[str]) -> None:
    run = start_run(alice, steps=[BROKEN, BROKEN, calls("pull", "no_such_tool"), BROKEN, BROKEN, {"text": "Done."}])

    work()

    assert status_of(alice, run) == "completed"


@pytest.mark.parametrize("place", ["record_answer", "finish_step"])
def test_a_loop_is_noticed_although_every_step_is_another_workers(
    alice: Person, start_run: Start, work: Work, pulls: list[str], crash_in: Callable[..., None], place: str
) -> None:
    run = start_run(alice, steps=[calls("pull")] * 10)

    for _ in range(3):
        crash_in(transactions, place, after=True)
    work()

    events = events_of(alice, run)
    assert reload(alice, run).error["code"] == "DOOM_LOOP"  # type: ignore[index]
    assert len(of_type(events, "run.warning")) == 3
    assert types(events).count("llm.called") == 5
    assert error_codes(events) == ["DOOM_LOOP"] * 3


def test_bad_calls_are_counted_across_workers(
    alice: Person, start_run: Start, work: Work, pulls: list[str], crash_in: Callable[..., None]
) -> None:
    run = start_run(alice, steps=[BROKEN] * 5)

    crash_in(transactions, "finish_step", after=True)
    crash_in(transactions, "record_answer", after=True)
    work()

    assert reload(alice, run).error["code"] == "INVALID_TOOL_CALLS"  # type: ignore[index]
    assert types(events_of(alice, run)).count("llm.called") == 3
