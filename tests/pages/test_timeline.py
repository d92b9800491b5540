"""The waterfall is a faithful reading of the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from runs.events import EventType
from runs.models import Event
from runs.pages.timeline import Happening, Step, Timeline, build

START = datetime(2030, 1, 1, tzinfo=UTC)


def timeline_of(*told: tuple[float, EventType, dict[str, Any]], now: float = 100) -> Timeline:
    events = [
        Event(seq=seq, at=START + timedelta(seconds=at), type=kind, payload=payload, attempt=1, step=1)
        for seq, (at, kind, payload) in enumerate(told, 1)
    ]
    return build(events, began_at=START, now=START + timedelta(seconds=now))


def call(name: str, number: int) -> dict[str, Any]:
    return {"toolName": name, "tool_call_id": f"call_{number}", "args": {"path": "a.md"}}


def answer(**told: Any) -> dict[str, Any]:
    return {"model": "m", "text": "", "totalTokens": 3, "duration_ms": 1500, **told}


STEP_WITH_TOOL = (
    (0, EventType.RUN_STARTED, {"input": "x"}),
    (0, EventType.STEP_STARTED, {"stepNumber": 1}),
    (2, EventType.LLM_CALLED, answer(toolCalls=[{"name": "read_file"}])),
    (2, EventType.TOOL_CALLED, call("read_file", 1)),
)


def test_a_model_call_stands_where_its_time_was_spent() -> None:
    step = timeline_of(*STEP_WITH_TOOL).rows[0]

    assert isinstance(step, Step)
    model = step.parts[0]
    assert model.began_at == START + timedelta(seconds=0.5)
    assert model.duration_ms == 1500


def test_a_tool_lasts_as_long_as_its_result_says_not_until_it_was_stored() -> None:
    timeline = timeline_of(
        *STEP_WITH_TOOL,
        (
            9,
            EventType.TOOL_RESULT,
            {"toolName": "read_file", "tool_call_id": "call_1", "result": {}, "isError": False, "duration_ms": 250},
        ),
    )

    tool = timeline.rows[0].parts[1]
    assert (tool.duration_ms, tool.status) == (250, "completed")


def test_what_has_no_end_yet_is_drawn_up_to_now() -> None:
    timeline = timeline_of(*STEP_WITH_TOOL, now=4)

    tool = timeline.rows[0].parts[1]
    assert tool.is_live
    assert (tool.left, tool.width) == ("50.00%", "50.00%")


def test_the_end_of_the_run_ends_everything_in_it() -> None:
    timeline = timeline_of(*STEP_WITH_TOOL, (5, EventType.RUN_CANCELLED, {"cancelled_by": "alice"}))

    step, end = timeline.rows
    assert not step.is_live
    assert [part.status for part in step.parts] == ["completed", "cancelled"]
    assert isinstance(end, Happening)


def test_a_survived_crash_is_told_where_it_happened() -> None:
    timeline = timeline_of(*STEP_WITH_TOOL, (8, EventType.RUN_RESUMED, {"checkpoint_step_id": "step_0000"}))

    kinds = [part.kind for part in timeline.rows[0].parts]
    assert kinds == ["model", "tool", "run.resumed"]


def test_a_model_call_lost_in_a_crash_is_not_counted_and_the_next_one_is() -> None:
    timeline = timeline_of(
        (0, EventType.STEP_STARTED, {"stepNumber": 1}),
        (6, EventType.RUN_RESUMED, {}),
        (9, EventType.LLM_CALLED, answer()),
        (9, EventType.RUN_COMPLETED, {"output": "x"}),
    )

    models = [part for part in timeline.rows[0].parts if part.kind == "model"]
    assert [part.status for part in models] == ["failed", "completed"]
    assert timeline.model_calls == 1


def test_a_blocked_call_stays_blocked_and_shows_why() -> None:
    blocked = {**call("exec_command", 1), "reason": "Blocked: high risk"}
    result = {
        "toolName": "exec_command",
        "tool_call_id": "call_1",
        "result": None,
        "isError": True,
        "error": {"code": "BLOCKED", "message": "Blocked"},
    }

    timeline = timeline_of(
        STEP_WITH_TOOL[1], STEP_WITH_TOOL[2], (2, EventType.TOOL_BLOCKED, blocked), (2, EventType.TOOL_RESULT, result)
    )

    tool = timeline.rows[0].parts[1]
    assert (tool.status, tool.about) == ("blocked", "Blocked: high risk")


def test_the_axis_is_marked_at_round_figures() -> None:
    timeline = timeline_of(*STEP_WITH_TOOL, (4.5, EventType.RUN_FAILED, {"error": {"code": "X", "message": "y"}}))

    assert [tick.milliseconds for tick in timeline.ticks] == [0, 1000, 2000, 3000, 4000]


def test_a_run_without_events_has_an_empty_timeline() -> None:
    assert timeline_of().rows == []
