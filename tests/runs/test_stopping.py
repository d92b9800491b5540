"""Ways for a run to be stopped, at every place where it can be: one end each, and nothing after it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from openintern.errors import OpenInternError
from openintern.tenancy.scope import org_scope, public_scope
from runs import lifecycle
from runs.llm import scripted
from runs.models import Run
from runs.queue import claims
from runs.queue.pulse import Pulse
from runs.queue.worker import work_once
from runs.stop import Stop
from runs.tools.registry import ToolContext
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import Hand, status_of, ticket_of
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls, limited, look, of_type, types

Start = Callable[..., Run]
Work = Callable[[], int]


def cancel(person: Person, run: Run) -> None:
    with org_scope(person.org):
        lifecycle.cancel_run(person.scope, run.pk, at=timezone.now())


def test_a_queued_run_never_starts(alice: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice)

    cancel(alice, run)

    assert work() == 0
    assert types(events_of(alice, run)) == ["run.cancelled"]
    assert ticket_of(run) is None
    with pytest.raises(OpenInternError, match="already cancelled"):
        cancel(alice, run)


def test_a_model_call_is_given_up_within_a_second(alice: Person, start_run: Start, hire: Callable[[], Hand]) -> None:
    run = start_run(alice, steps=[{"text": "So", "hold": "cancelled"}])
    hand = hire()
    scripted.wait_held("cancelled")

    cancel(alice, run)
    began = time.monotonic()
    hand.join()

    assert time.monotonic() - began < 2
    assert_whole(alice, run)
    assert types(events_of(alice, run)) == ["run.started", "step.started", "run.cancelled"]
    assert ticket_of(run) is None


def test_a_run_that_follows_another_at_once_hears_of_its_cancel_too(
    alice: Person, start_run: Start, hire: Callable[[], Hand], work: Work
) -> None:
    """Its worker still listened on the former's behalf."""
    start_run(alice, session_key="s_before")
    work()
    run = start_run(alice, steps=[{"hold": "follows"}])
    hand = hire()
    scripted.wait_held("follows")

    cancel(alice, run)

    hand.join(within=2)


def test_a_tool_is_told_and_its_result_is_refused(
    alice: Person, start_run: Start, hire: Callable[[], Hand], add_tool: Callable[..., Any]
) -> None:
    told: list[bool] = []
    begun = threading.Event()

    def dig(context: ToolContext) -> dict[str, Any]:
        """Dig until told to stop."""
        begun.set()
        told.append(context.stop.wait(10))
        return {}

    add_tool(dig, mutating=True)
    run = start_run(alice, steps=[calls("dig"), {"text": "Deep."}])
    hand = hire()
    assert begun.wait(10)

    cancel(alice, run)
    hand.join()

    assert told == [True]
    assert_whole(alice, run)
    assert "tool.result" not in types(events_of(alice, run))


def test_between_two_steps_nothing_more_is_written(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    def end(context: ToolContext) -> dict[str, Any]:
        """End the run it runs for."""
        cancel(alice, run)
        return {}

    add_tool(end, recovery="pure")
    run = start_run(alice, steps=[calls("end"), {"text": "Still here?"}])

    work()

    assert_whole(alice, run)
    assert types(events_of(alice, run))[-2:] == ["tool.called", "run.cancelled"]


def test_the_next_run_of_a_session_waits_for_the_worker_of_a_cancelled_one(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    claimed: list[Any] = []

    def end(context: ToolContext) -> dict[str, Any]:
        """End the run it runs for, and look whether the next could start."""
        cancel(alice, first)
        with public_scope():
            claimed.append(claims.claim("somebody else"))
        return {}

    add_tool(end, recovery="pure")
    first = start_run(alice, steps=[calls("end")], session_key="s_serial")
    second = start_run(alice, session_key="s_serial")

    assert work() == 2

    assert claimed == [None]
    assert status_of(alice, second) == "completed"


def test_a_timeout_ends_the_work_and_the_next_run_is_unaffected(
    alice: Person, start_run: Start, hire: Callable[[], Hand], work: Work, settings: Any
) -> None:
    usual, settings.CONFIG = settings.CONFIG, limited(timeout_ms=300)
    slow = start_run(alice, steps=[{"hold": "for ever"}], session_key="s_slow")
    settings.CONFIG = usual
    following = start_run(alice, session_key="s_slow")

    hire().join(within=5)
    work()

    assert events_of(alice, slow)[-1].payload["error"] == {
        "code": "RUN_TIMEOUT",
        "message": "Run took longer than 0.3 s",
    }
    assert_whole(alice, slow)
    assert status_of(alice, following) == "completed"
    assert {event.payload.get("input") for event in events_of(alice, following) if event.type == "run.started"} == {
        "a task"
    }


def test_a_timeout_ends_a_tool(
    alice: Person, start_run: Start, hire: Callable[[], Hand], add_tool: Callable[..., Any], settings: Any
) -> None:
    reasons: list[Any] = []

    def dig(context: ToolContext) -> dict[str, Any]:
        """Dig until told to stop."""
        context.stop.wait(10)
        reasons.append(context.stop.reason)
        context.stop.check()
        return {}

    add_tool(dig, recovery="pure")
    settings.CONFIG = limited(timeout_ms=300)
    run = start_run(alice, steps=[calls("dig")])

    hire().join(within=5)

    assert reasons == ["timeout"]
    assert events_of(alice, run)[-1].payload["error"]["code"] == "RUN_TIMEOUT"
    assert_whole(alice, run)


def test_a_worker_that_is_asked_to_end_finishes_its_step_and_hands_the_run_back(
    alice: Person, start_run: Start, work: Work, add_tool: Callable[..., Any]
) -> None:
    ending = multiprocessing.get_context("fork").Event()

    def close_down(context: ToolContext) -> dict[str, Any]:
        """The operator stops the worker."""
        ending.set()
        return {}

    add_tool(close_down, recovery="unsure", mutating=True)
    run = start_run(alice, steps=[calls("close_down"), {"text": "Back again."}])

    assert work_once(Pulse(owner="ending", shutdown=ending))
    ticket = ticket_of(run)
    assert ticket is not None
    assert (ticket.leased_by, ticket.lease_expires_at, ticket.losses) == ("", None, 0)
    assert types(events_of(alice, run))[-2:] == ["step.completed", "step.started"]
    work()

    assert reload(alice, run).output == "Back again."
    assert_whole(alice, run)


def test_a_worker_without_a_lease_gives_the_run_up(
    alice: Person, start_run: Start, hire: Callable[[], Hand], work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.queue.pulse.BEAT_SECONDS", 0.2)
    run = start_run(alice, steps=[{"hold": "lost"}])
    hand = hire()
    scripted.wait_held("lost")

    with org_scope(alice.org):
        lifecycle.requeue_run(alice.scope, run.pk)
    hand.join(within=5)
    scripted.release("lost")
    work()

    assert types(events_of(alice, run)).count("llm.called") == 1
    assert_whole(alice, run)


def test_a_cancel_racing_the_end_has_one_winner(alice: Person, start_run: Start, hire: Callable[[], Hand]) -> None:
    runs = [start_run(alice) for _ in range(12)]

    def cancel_all() -> None:
        for run in runs:
            with suppress(OpenInternError):  # it has ended before
                cancel(alice, run)
            time.sleep(0.01)  # moves on at about the speed of the worker
        connections.close_all()

    racing = threading.Thread(target=cancel_all)
    racing.start()
    for _ in runs:
        hire().join()
    racing.join(30)

    for run in runs:
        assert_whole(alice, run)
        assert ticket_of(run) is None


def test_only_a_run_under_way_can_be_spoken_to(alice: Person, start_run: Start, work: Work) -> None:
    run = start_run(alice)

    def speak() -> None:
        with org_scope(alice.org):
            lifecycle.inject_message(alice.scope, run.pk, message="Hello?")

    with pytest.raises(OpenInternError, match="pending"):
        speak()
    work()
    with pytest.raises(OpenInternError, match="completed"):
        speak()

    assert of_type(events_of(alice, run), "user.injected") == []


def test_a_tool_that_hangs_is_left_behind(
    alice: Person, start_run: Start, hire: Callable[[], Hand], add_tool: Callable[..., Any]
) -> None:
    let_go = threading.Event()

    def hang(context: ToolContext) -> dict[str, Any]:
        """Hear nothing."""
        let_go.wait(20)
        return {}

    add_tool(hang, recovery="pure")
    run = start_run(alice, steps=[calls("hang")])
    hand = hire()
    hanging = wait_for_thread("hang")

    cancel(alice, run)
    hand.join(within=3)

    assert hanging.daemon, "a process can't end while such a thread is alive"
    let_go.set()


def wait_for_thread(name: str) -> threading.Thread:
    from tests.runs.conftest import eventually

    return eventually(lambda: next((thread for thread in threading.enumerate() if thread.name == name), None))  # type: ignore[no-any-return]


def test_the_first_reason_to_stop_stands() -> None:
    stop = Stop()

    stop.set("cancelled")
    stop.set("lost")

    assert stop.reason == "cancelled"


def test_time_that_was_used_up_before_a_crash_counts(
    alice: Person, start_run: Start, hire: Callable[[], Hand], add_tool: Callable[..., Any], settings: Any
) -> None:
    settings.CONFIG = limited(timeout_ms=60_000)
    add_tool(look, recovery="pure")
    run = start_run(alice, steps=[calls("look"), {"text": "Done."}])
    with org_scope(alice.org):
        Run.objects.filter(pk=run.pk).update(active_ms=60_000)

    hire().join(within=5)

    assert events_of(alice, run)[-1].payload["error"]["code"] == "RUN_TIMEOUT"
