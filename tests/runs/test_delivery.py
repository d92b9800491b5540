"""A call that answers later: the run waits without a worker, the answer lands once, and the last one wakes it once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from openintern.tenancy.scope import org_scope
from runs import approvals, lifecycle
from runs.delivery import Delivery, deliver
from runs.engine import transactions
from runs.models import Effect, Run
from runs.settlement import settle_effect
from runs.tools.registry import Later, ToolContext
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import expire_leases, status_of, ticket_of
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls, effects_of, of_type, types

Start = Callable[..., Run]
Work = Callable[[], int]
AddTool = Callable[..., Any]
CALL = "c0_order"


class Workshop:
    """A tool that hands its work to somebody else. Under one key, the same job is found again."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.calls = 0
        self.on_order: Callable[[str], object] = lambda job: None
        self.within = timedelta(hours=1)

    def tool(self) -> Callable[..., Any]:
        def order(context: ToolContext, thing: str = "it") -> Any:
            """Order a thing."""
            self.calls += 1
            job = f"job-{context.idempotency_key}"
            if job not in self.jobs:
                self.jobs.append(job)
            self.on_order(job)
            return Later(kind="external_job", reference=job, within=self.within, message="the workshop")

        return order


@pytest.fixture
def workshop(add_tool: AddTool) -> Workshop:
    shop = Workshop()
    add_tool(shop.tool(), recovery="keyed", mutating=True, answers_later=True)
    return shop


@pytest.fixture
def run(alice: Person, start_run: Start, workshop: Workshop) -> Run:
    return start_run(alice, steps=[calls("order"), {"text": "Ordered."}])


def bring(person: Person, run: Run, job: str, call: str = CALL, **told: Any) -> bool:
    with org_scope(person.org):
        told = {"kind": "external_job", "reference": job, "value": {"made": True}} | told
        return deliver(run.pk, call, Delivery(**told))


def job_of(run: Run, call: str = CALL, *, step: int = 1) -> str:
    return f"job-{run.pk}:{step}:{call}"


def wakings(person: Person, run: Run) -> int:
    return types(events_of(person, run)).count("run.resumed")


def let_it_be_late(person: Person, run: Run) -> None:
    """Let the time pass for which the run waits."""
    with org_scope(person.org):
        Effect.objects.filter(run=run, status="awaited").update(awaits_until=timezone.now() - timedelta(seconds=1))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE public.queue_ticket SET available_at = now() WHERE run_id = %s", [run.pk])


def test_a_run_waits_without_a_worker_and_goes_on_with_the_answer(
    alice: Person, run: Run, work: Work, workshop: Workshop
) -> None:
    assert work() == 1
    assert (status_of(alice, run), effects_of(alice, run)) == ("waiting", {CALL: "awaited"})
    ticket = ticket_of(run)
    assert ticket is not None
    assert (ticket.leased_by, ticket.lease_expires_at) == ("", None)
    waiting = of_type(events_of(alice, run), "run.waiting")
    assert waiting[0]["reason"] == "external_job"
    assert waiting[0]["awaits"] == [{"tool_call_id": CALL, "kind": "external_job", "reference": job_of(run)}]
    assert work() == 0

    assert bring(alice, run, job_of(run))
    assert work() == 1

    events = events_of(alice, run)
    assert [told["result"] for told in of_type(events, "tool.result")] == [{"made": True}]
    assert of_type(events, "run.resumed")[0]["orphaned_tool_calls"] == 0
    assert reload(alice, run).output == "Ordered."
    assert (len(workshop.jobs), workshop.calls) == (1, 1)
    assert_whole(alice, run)


def test_a_second_delivery_changes_nothing(alice: Person, run: Run, work: Work) -> None:
    work()
    assert bring(alice, run, job_of(run), value={"first": 1})

    assert not bring(alice, run, job_of(run), value={"second": 2})
    work()
    assert not bring(alice, run, job_of(run), value={"third": 3})

    assert [told["result"] for told in of_type(events_of(alice, run), "tool.result")] == [{"first": 1}]
    assert wakings(alice, run) == 1


def test_only_what_is_awaited_is_taken(alice: Person, run: Run, work: Work) -> None:
    work()

    assert not bring(alice, run, "job-of-somebody-else")
    assert not bring(alice, run, job_of(run), call="c9_other")
    assert not bring(alice, run, job_of(run), kind="delegated_run")

    assert effects_of(alice, run) == {CALL: "awaited"}


def test_another_organisation_delivers_nothing(alice: Person, charlie: Person, run: Run, work: Work) -> None:
    work()

    assert not bring(charlie, run, job_of(run))

    assert status_of(alice, run) == "waiting"


def test_an_answer_that_is_faster_than_the_run_is_not_lost(
    alice: Person, run: Run, work: Work, workshop: Workshop
) -> None:
    """It comes while the tool is still at it, from another connection: the run needn't wait at all."""
    landed: list[bool] = []
    workshop.on_order = lambda job: landed.append(bring(alice, run, job))

    work()

    assert landed == [True]
    events = events_of(alice, run)
    assert types(events).count("tool.result") == 1
    assert "run.waiting" not in types(events)
    assert of_type(events, "tool.batch.completed")[0]["success_count"] == 1
    assert reload(alice, run).output == "Ordered."
    assert_whole(alice, run)


def test_an_answer_between_the_tool_and_the_waiting_is_not_lost(
    alice: Person, run: Run, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = transactions.wait_for_answers
    landed: list[bool] = []

    def late(*args: Any, **kwargs: Any) -> bool:
        landed.append(bring(alice, run, job_of(run)))
        return original(*args, **kwargs)

    monkeypatch.setattr(transactions, "wait_for_answers", late)

    work()

    assert landed == [True]
    assert types(events_of(alice, run)).count("tool.result") == 1
    assert reload(alice, run).output == "Ordered."


def test_two_deliveries_at_once_land_once(alice: Person, run: Run, work: Work) -> None:
    work()
    start, landed = threading.Barrier(4), []

    def hand_in(number: int) -> None:
        start.wait()
        landed.append(bring(alice, run, job_of(run), value={"number": number}))
        connections.close_all()

    threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(landed) == [False, False, False, True]
    assert work() == 1
    assert types(events_of(alice, run)).count("tool.result") == 1
    assert_whole(alice, run)


def test_the_last_of_several_wakes_the_run_once(
    alice: Person, start_run: Start, workshop: Workshop, work: Work
) -> None:
    """Both come at the same moment: acceptance of a dispatcher that hands out two pieces of work."""
    run = start_run(alice, steps=[calls("order", "order"), {"text": "Both."}])
    work()
    both = [f"c{number}_order" for number in range(2)]
    assert effects_of(alice, run) == dict.fromkeys(both, "awaited")
    start = threading.Barrier(2)

    def hand_in(call: str) -> None:
        start.wait()
        bring(alice, run, job_of(run, call), call, value={"call": call})
        connections.close_all()

    threads = [threading.Thread(target=hand_in, args=(call,)) for call in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert work() == 1
    events = events_of(alice, run)
    assert sorted(told["tool_call_id"] for told in of_type(events, "tool.result")) == both
    assert types(events).count("run.resumed") == 1
    assert reload(alice, run).output == "Both."
    assert_whole(alice, run)


def test_the_first_of_several_wakes_nobody(alice: Person, start_run: Start, workshop: Workshop, work: Work) -> None:
    run = start_run(alice, steps=[calls("order", "order"), {"text": "Both."}])
    work()

    bring(alice, run, job_of(run, "c1_order"), "c1_order")

    assert work() == 0
    assert status_of(alice, run) == "waiting"
    bring(alice, run, job_of(run))
    assert work() == 1
    assert status_of(alice, run) == "completed"


def test_an_error_is_told_to_the_model(alice: Person, run: Run, work: Work) -> None:
    work()

    bring(alice, run, job_of(run), error="The workshop burnt down", code="JOB_FAILED")
    work()

    told = of_type(events_of(alice, run), "tool.result")[0]
    assert (told["isError"], told["error"]) == (True, {"code": "JOB_FAILED", "message": "The workshop burnt down"})
    assert status_of(alice, run) == "completed"


def test_what_comes_too_late_has_failed(alice: Person, run: Run, work: Work) -> None:
    work()
    let_it_be_late(alice, run)

    assert work() == 1

    told = of_type(events_of(alice, run), "tool.result")
    assert [one["error"]["code"] for one in told] == ["AWAITED_TOO_LONG"]
    assert not bring(alice, run, job_of(run))
    assert status_of(alice, run) == "completed"
    assert_whole(alice, run)


def test_one_that_is_late_leaves_the_others_time(
    alice: Person, start_run: Start, workshop: Workshop, work: Work
) -> None:
    run = start_run(alice, steps=[calls("order", "order"), {"text": "Both."}])
    work()
    with org_scope(alice.org):
        Effect.objects.filter(run=run, tool_call_id=CALL).update(awaits_until=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE public.queue_ticket SET available_at = now() WHERE run_id = %s", [run.pk])

    assert work() == 1

    assert effects_of(alice, run) == {CALL: "done", "c1_order": "awaited"}
    assert status_of(alice, run) == "waiting"
    assert work() == 0
    assert bring(alice, run, job_of(run, "c1_order"), "c1_order")
    work()
    assert status_of(alice, run) == "completed"
    assert_whole(alice, run)


def test_nothing_is_delivered_to_a_cancelled_run(alice: Person, run: Run, work: Work) -> None:
    work()
    with org_scope(alice.org):
        lifecycle.cancel_run(alice.scope, run.pk, at=timezone.now())

    assert not bring(alice, run, job_of(run))

    assert status_of(alice, run) == "cancelled"
    assert ticket_of(run) is None
    assert work() == 0
    assert_whole(alice, run)


@pytest.mark.parametrize("after", [False, True], ids=["before it commits", "after it has"])
def test_a_worker_that_dies_over_the_waiting_loses_nothing(
    alice: Person, run: Run, work: Work, workshop: Workshop, crash_in: Callable[..., None], after: bool
) -> None:
    crash_in(transactions, "wait_for_answers", after=after)
    work()

    assert (status_of(alice, run), len(workshop.jobs)) == ("waiting", 1)
    assert workshop.calls == (1 if after else 2)
    assert bring(alice, run, job_of(run))
    work()
    assert reload(alice, run).output == "Ordered."
    assert_whole(alice, run)


def test_an_answer_that_comes_while_nobody_works_is_found(
    alice: Person, run: Run, work: Work, workshop: Workshop, crash_in: Callable[..., None]
) -> None:
    """The worker died between the order and the waiting; the answer was there before the next worker."""
    crash_in(transactions, "wait_for_answers")
    assert bring(alice, run, job_of(run))

    work()

    assert (workshop.calls, effects_of(alice, run)) == (1, {CALL: "done"})
    assert types(events_of(alice, run)).count("tool.result") == 1
    assert reload(alice, run).output == "Ordered."
    assert_whole(alice, run)


def test_a_worker_that_dies_over_the_waking_loses_nothing(
    alice: Person, run: Run, work: Work, crash_in: Callable[..., None]
) -> None:
    work()
    bring(alice, run, job_of(run))

    crash_in(transactions, "finish_step")
    work()

    assert types(events_of(alice, run)).count("tool.result") == 1
    assert reload(alice, run).output == "Ordered."
    assert_whole(alice, run)


def test_a_waiting_run_that_is_claimed_anyway_waits_again(
    alice: Person, run: Run, work: Work, workshop: Workshop
) -> None:
    work()
    with org_scope(alice.org):
        lifecycle.requeue_run(alice.scope, run.pk)

    assert work() == 1

    assert (status_of(alice, run), workshop.calls) == ("waiting", 1)
    assert bring(alice, run, job_of(run))
    work()
    assert status_of(alice, run) == "completed"


def test_what_can_be_done_meanwhile_is_done_meanwhile(
    alice: Person, start_run: Start, workshop: Workshop, work: Work, add_tool: AddTool
) -> None:
    """Calls after the one that answers later run, one that can't be repeated among them, and run once."""
    paid: list[str] = []

    def pay(context: ToolContext) -> dict[str, Any]:
        """Pay a bill."""
        paid.append(context.idempotency_key)
        return {"paid": True}

    add_tool(pay, mutating=True, recovery="unsure")
    run = start_run(alice, steps=[calls("order", "pay", "order"), {"text": "All."}])
    work()
    assert effects_of(alice, run) == {"c0_order": "awaited", "c1_pay": "done", "c2_order": "awaited"}

    for call in ("c2_order", "c0_order"):
        assert bring(alice, run, job_of(run, call), call)
    work()

    assert len(paid) == 1
    assert types(events_of(alice, run)).count("tool.result") == 3
    assert reload(alice, run).output == "All."
    assert_whole(alice, run)


def test_what_is_in_doubt_keeps_the_run_until_both_are_known(
    alice: Person, start_run: Start, workshop: Workshop, work: Work, add_tool: AddTool, crash_in: Callable[..., None]
) -> None:
    def pay(context: ToolContext) -> dict[str, Any]:
        """Pay a bill."""
        return {"paid": True}

    add_tool(pay, mutating=True, recovery="unsure")
    run = start_run(alice, steps=[calls("order", "pay"), {"text": "All."}])
    crash_in(transactions, "wait_for_answers")
    work()
    assert effects_of(alice, run) == {"c0_order": "awaited", "c1_pay": "in_doubt"}
    assert bring(alice, run, job_of(run))
    assert (work(), status_of(alice, run)) == (0, "waiting")

    with org_scope(alice.org):
        settle_effect(alice.scope, run.pk, "c1_pay", outcome="happened")
    work()

    assert reload(alice, run).output == "All."
    assert_whole(alice, run)


def test_a_question_is_asked_before_anything_is_ordered(
    alice: Person, start_run: Start, workshop: Workshop, work: Work, add_tool: AddTool
) -> None:
    def erase(context: ToolContext) -> dict[str, Any]:
        """Erase it."""
        return {"erased": True}

    add_tool(erase, mutating=True, recovery="keyed", risk="high")
    run = start_run(alice, steps=[calls("order", "erase"), {"text": "All."}])
    work()
    assert (workshop.calls, status_of(alice, run)) == (0, "waiting")
    with org_scope(alice.org):
        decision = approvals.Decision(verdict=approvals.Verdict.APPROVE)
        approvals.decide(alice.scope, run.pk, "c1_erase", decision, at=timezone.now())

    work()

    assert effects_of(alice, run) == {"c0_order": "awaited", "c1_erase": "done"}
    assert bring(alice, run, job_of(run))
    work()
    assert reload(alice, run).output == "All."
    assert_whole(alice, run)


def test_a_repin_does_not_take_away_what_is_under_way(
    alice: Person, run: Run, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is gone from the run's new version; what it ordered still comes."""
    work()
    with org_scope(alice.org):
        config = reload(alice, run).config
        Run.objects.filter(pk=run.pk).update(config=config | {"tools": []})

    assert bring(alice, run, job_of(run))
    work()

    assert [told["isError"] for told in of_type(events_of(alice, run), "tool.result")] == [False]
    assert status_of(alice, run) == "completed"


def test_what_was_written_after_reading_from_outside_taints(alice: Person, run: Run, work: Work) -> None:
    work()

    bring(alice, run, job_of(run), is_tainted=True)
    work()

    assert reload(alice, run).taint == {"source": "tool", "about": "order"}
    assert "run.tainted" in types(events_of(alice, run))


def test_a_tool_that_never_said_so_may_not_answer_later(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool
) -> None:
    shop = Workshop()
    add_tool(shop.tool(), recovery="keyed", mutating=True)
    run = start_run(alice, steps=[calls("order"), {"text": "Well."}])

    work()

    assert of_type(events_of(alice, run), "tool.result")[0]["isError"]
    assert status_of(alice, run) == "completed"


def test_the_answer_of_a_call_that_is_not_awaited_is_its_tools_alone(
    alice: Person, start_run: Start, work: Work, add_tool: AddTool, crash_in: Callable[..., None]
) -> None:
    """A call that was begun and never promised to be answered by others is nobody else's to answer."""

    def count(context: ToolContext) -> dict[str, Any]:
        """Count."""
        return {"count": 1}

    add_tool(count, recovery="keyed", mutating=True)
    run = start_run(alice, steps=[calls("count"), {"text": "Counted."}])
    crash_in(transactions, "finish_step")

    assert not bring(alice, run, "anything", call="c0_count")

    expire_leases()
    work()
    assert of_type(events_of(alice, run), "tool.result")[0]["result"] == {"count": 1}
