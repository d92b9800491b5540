"""Crashes at every place between two transactions: nothing is repeated that mustn't be, nothing is bought twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.engine import loop as engine
from runs.engine import plan, transactions
from runs.engine.work import Work as WorkOnRun
from runs.models import Run
from runs.tools.registry import ToolContext
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import Crash, Hand, expire_leases, status_of, ticket_of
from tests.runs.test_engine import calls, checkpoints_of, effects_of, listen, of_type, types

Start = Callable[..., Run]
Work = Callable[[], int]
TERMINAL = {"run.completed", "run.failed", "run.cancelled"}


class Tally:
    """A tool that counts how often it took effect, and under which keys."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def tool(self) -> Callable[..., dict[str, Any]]:
        def count(context: ToolContext, name: str = "it") -> dict[str, Any]:
            """Count."""
            self.keys.append(context.idempotency_key)
            return {"count": len(self.keys)}

        return count

    def landed(self, context: ToolContext, name: str) -> dict[str, Any] | None:
        return {"count": len(self.keys), "found": True} if context.idempotency_key in self.keys else None


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def counted(alice: Person, start_run: Start, tally: Tally, add_tool: Callable[..., Any]) -> Callable[[str], Run]:
    """Start a run of one tool step and an answer, with a tool of the recovery class."""

    def start(recovery: str) -> Run:
        check = {"check": tally.landed} if recovery == "checkable" else {}
        add_tool(tally.tool(), recovery=recovery, mutating=recovery != "pure", **check)
        return start_run(alice, steps=[calls("count"), {"text": "Counted."}])

    return start


def assert_whole(person: Person, run: Run) -> None:
    """What must hold of every log, whatever happened."""
    events = events_of(person, run)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events if event.type in TERMINAL] == [f"run.{status_of(person, run)}"]
    assert events[-1].type in TERMINAL
    attempts = [event.attempt for event in events]
    assert attempts == sorted(attempts)
    completed = [(event.step, event.seq) for event in events if event.type == "step.completed"]
    assert checkpoints_of(person, run) == completed
    given_up = {event.step for event in events if event.type == "member.failed"}
    steps = [step for step, _ in completed]
    assert [step for step in range(1, (steps or [0])[-1] + 1) if step in steps or step not in given_up] == steps


def test_effects_are_claimed_before_they_happen(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    seen: list[dict[str, str]] = []

    def pay(context: ToolContext) -> dict[str, Any]:
        """Pay a bill."""
        seen.append(effects_of(alice, run))
        return {}

    add_tool(pay, mutating=True, recovery="unsure")
    run = start_run(alice, steps=[calls("pay", "pay", "pay"), {"text": "Paid."}])

    work()

    assert [list(rows.values()) for rows in seen] == [
        ["started", "planned", "planned"],
        ["done", "started", "planned"],
        ["done", "done", "started"],
    ]
    assert set(effects_of(alice, run).values()) == {"done"}
    assert_whole(alice, run)


@pytest.mark.parametrize("recovery", ["pure", "keyed", "checkable", "unsure"])
def test_a_recorded_answer_is_not_bought_again(
    alice: Person, counted: Callable[[str], Run], work: Work, crash_in: Callable[..., None], tally: Tally,
    monkeypatch: pytest.MonkeyPatch, recovery: str,
) -> None:  # fmt: skip
    heard = listen(monkeypatch)
    run = counted(recovery)

    crash_in(transactions, "finish_step")
    work()

    assert len([request for request in heard if len(request.messages) == 2]) == 1
    events = events_of(alice, run)
    assert of_type(events, "run.resumed")[0]["orphaned_tool_calls"] == 1
    assert types(events).count("tool.called") == 1
    match recovery:
        case "pure" | "keyed":
            assert len(tally.keys) == 2
            assert len(set(tally.keys)) == 1
        case "checkable":
            assert len(tally.keys) == 1
            assert of_type(events, "tool.result")[0]["result"]["found"] is True
        case "unsure":
            assert len(tally.keys) == 1
            assert (status_of(alice, run), effects_of(alice, run)) == ("waiting", {"c0_count": "in_doubt"})
            return
    assert reload(alice, run).output == "Counted."
    assert_whole(alice, run)


@pytest.mark.parametrize("recovery", ["pure", "checkable"])
def test_a_call_that_never_began_runs_once(
    alice: Person, counted: Callable[[str], Run], work: Work, crash_in: Callable[..., None], tally: Tally, recovery: str
) -> None:
    run = counted(recovery)

    crash_in(engine, "_carry_out")
    work()

    assert len(tally.keys) == 1
    assert_whole(alice, run)


def test_an_answer_that_was_not_recorded_is_bought_once_more(
    alice: Person, counted: Callable[[str], Run], work: Work, crash_in: Callable[..., None], tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    heard = listen(monkeypatch)
    run = counted("unsure")

    crash_in(transactions, "record_answer")
    work()

    events = events_of(alice, run)
    assert len(heard) == 3
    assert [payload["stepNumber"] for payload in of_type(events, "llm.called")] == [1, 2]
    assert len(tally.keys) == 1
    assert_whole(alice, run)


def test_a_crash_between_two_steps_repeats_neither(
    alice: Person, counted: Callable[[str], Run], work: Work, crash_in: Callable[..., None], tally: Tally
) -> None:
    run = counted("unsure")

    crash_in(transactions, "finish_step", after=True)
    work()

    events = events_of(alice, run)
    assert len(tally.keys) == 1
    assert types(events).count("step.started") == types(events).count("step.completed") == 2
    assert of_type(events, "run.resumed")[0]["orphaned_tool_calls"] == 0
    assert_whole(alice, run)


def test_a_crash_before_the_end_is_written_ends_the_run_once(
    alice: Person, start_run: Start, work: Work, crash_in: Callable[..., None]
) -> None:
    run = start_run(alice)

    crash_in(transactions, "finish")
    work()

    assert_whole(alice, run)
    assert types(events_of(alice, run))[2] == "run.resumed"


def test_calls_after_the_one_in_doubt_wait_with_it(
    alice: Person,
    start_run: Start,
    work: Work,
    add_tool: Callable[..., Any],
    crash_in: Callable[..., None],
    tally: Tally,
) -> None:
    add_tool(tally.tool(), recovery="unsure", mutating=True)
    run = start_run(alice, steps=[calls("count", "count", "count"), {"text": "Three."}])

    crash_in(transactions, "record_progress")
    work()

    assert len(tally.keys) == 1
    assert effects_of(alice, run) == {"c0_count": "in_doubt", "c1_count": "planned", "c2_count": "planned"}
    assert status_of(alice, run) == "waiting"


def test_what_was_stored_before_a_crash_is_not_done_again(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any], hire: Callable[[], Hand], tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    count = tally.tool()

    def crash(context: ToolContext) -> dict[str, Any]:
        """Take the worker down, the first time."""
        if len(tally.keys) == 1:
            count(context)
            raise Crash
        return {}

    add_tool(count, recovery="unsure", mutating=True)
    add_tool(crash, recovery="keyed", mutating=True)
    run = start_run(alice, steps=[calls("count", "crash"), {"text": "Done."}])

    with pytest.raises(Crash):
        hire().join()
    expire_leases()
    work()

    assert len(tally.keys) == 2
    results = of_type(events_of(alice, run), "tool.result")
    assert [result["tool_call_id"] for result in results] == ["c0_count", "c1_crash"]
    assert_whole(alice, run)


def test_a_run_in_doubt_can_be_cancelled(
    alice: Person, counted: Callable[[str], Run], work: Work, crash_in: Callable[..., None]
) -> None:
    run = counted("unsure")
    crash_in(transactions, "finish_step")
    work()

    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, run.pk, at=run.created_at)

    assert_whole(alice, run)
    assert ticket_of(run) is None


def test_a_run_in_doubt_that_is_requeued_asks_again_and_does_nothing(
    alice: Person, counted: Callable[[str], Run], work: Work, crash_in: Callable[..., None], tally: Tally
) -> None:
    run = counted("unsure")
    crash_in(transactions, "finish_step")
    work()

    with org_scope(alice.org):
        lifecycle.requeue_run(alice.scope, run.pk)
    work()

    assert len(tally.keys) == 1
    assert types(events_of(alice, run))[-2:] == ["run.resumed", "run.waiting"]


def test_a_run_that_kills_its_workers_is_given_up(
    alice: Person, start_run: Start, work: Work, crash_in: Callable[..., None]
) -> None:
    poison, fine = start_run(alice, session_key="s_poison"), start_run(alice, session_key="s_after")

    for _ in range(3):
        crash_in(engine, "_take_steps")
    work()

    failed = events_of(alice, poison)[-1]
    assert (failed.type, failed.payload["error"]["code"]) == ("run.failed", "WORKER_LOST")
    assert status_of(alice, fine) == "completed"
    assert_whole(alice, poison)


def test_a_run_whose_log_kills_its_workers_is_given_up_too(
    alice: Person,
    start_run: Start,
    work: Work,
    crash_in: Callable[..., None],
    tally: Tally,
    add_tool: Callable[..., Any],
) -> None:
    """As a log does that is more than a worker's memory holds: nothing of the attempt is committed when it dies."""
    add_tool(tally.tool(), recovery="keyed")
    poison = start_run(alice, steps=[calls("count"), {"text": "never said"}])
    crash_in(transactions, "finish_step", after=True)

    for _ in range(2):
        crash_in(WorkOnRun, "load")
    work()

    failed = events_of(alice, poison)[-1]
    assert (failed.type, failed.payload["error"]["code"]) == ("run.failed", "WORKER_LOST")
    assert_whole(alice, poison)


def test_workers_that_die_far_apart_do_not_end_a_run(
    alice: Person,
    start_run: Start,
    work: Work,
    crash_in: Callable[..., None],
    add_tool: Callable[..., Any],
    tally: Tally,
) -> None:
    add_tool(tally.tool(), recovery="keyed")
    run = start_run(alice, steps=[*(calls("count", name=name) for name in "abcde"), {"text": "Five."}])

    for _ in range(5):
        crash_in(transactions, "finish_step", after=True)
    work()

    assert reload(alice, run).output == "Five."
    assert_whole(alice, run)


def test_a_step_that_is_finished_too_late_is_refused(
    alice: Person,
    counted: Callable[[str], Run],
    work: Work,
    hire: Callable[[], Hand],
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease ran out while a tool was at work, and another worker has begun."""
    run = counted("pure")
    second: list[Hand] = []
    original = plan.batch_completed

    def late(*args: Any, **kwargs: Any) -> Any:
        if not second:
            expire_leases()
            second.append(hire())
            second[0].thread.join(0.3)
        return original(*args, **kwargs)

    monkeypatch.setattr(plan, "batch_completed", late)
    hire().join()
    second[0].join()
    work()

    assert_whole(alice, run)
    assert reload(alice, run).output == "Counted."
