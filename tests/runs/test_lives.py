"""Lives of runs, drawn at random: people and crashes interfere wherever they can, and the promises hold after each move.

A move is a person's (start, cancel, speak, settle, decide, hand back) or a worker's (work, die at the n-th statement, die in a
tool). The drawn order is the same each time unless HYPOTHESIS says otherwise, so a red test stays red.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from openintern.errors import OpenInternError
from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs import approvals, lifecycle, settlement
from runs.approvals import Decision, Verdict
from runs.llm import scripted
from runs.llm.types import Request
from runs.models import Approval, Effect, Event, Run
from runs.multitask import Strategy
from runs.tools.registry import ToolContext
from tests.conftest import Person, reload
from tests.runs.conftest import Crash, clear_queue, expire_leases, ticket_of
from tests.runs.test_crash_sweep import Saboteur, work_sabotaged
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANSWER = {"text": "The end."}
PLANS: dict[str, list[dict[str, Any]]] = {
    "answer": [ANSWER],
    "keyed, pure": [calls("keyed"), calls("pure", "keyed"), ANSWER],
    "unsure": [calls("pure"), calls("unsure"), ANSWER],
    "unsure, twice": [calls("unsure", "checkable", "unsure"), ANSWER],
    "asking": [calls("asking"), calls("checkable"), ANSWER],
    "asking, twice": [calls("pure", "asking", "asking"), ANSWER],
}
REFUSALS = {
    "RUN_ALREADY_FINISHED", "RUN_NOT_INJECTABLE", "RUN_NOT_WAITING", "NOT_FOUND", "CONFLICT",
    "APPROVAL_NOT_FOUND",  # a question of an earlier step, where the run waits for the next
}  # fmt: skip


@dataclass
class World:
    """The outside: what tools did, and what models were asked. It survives every crash."""

    alice: Person
    struck: list[tuple[str, str, str]] = field(default_factory=list)  # tool, run, key
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)  # how often a task's n-th answer was bought
    bought_twice: list[str] = field(default_factory=list)  # tasks of which an answer was bought that stood in the log
    crash_next: str = ""  # "before" or "after" the next effect

    def strike(self, name: str, context: ToolContext) -> dict[str, Any]:
        crash, self.crash_next = self.crash_next, ""
        if crash == "before":
            raise Crash
        self.struck.append((name, context.run_id, context.idempotency_key))
        if crash == "after":
            raise Crash
        return {"struck": name}

    def answer(self, request: Request) -> dict[str, Any]:
        """Return the step of the task's plan that comes next, however often it is asked for."""
        said = [message["content"] for message in request.messages]
        task = next(text for text in reversed(said) if isinstance(text, str) and text.startswith("task "))
        place = len(said) - 1 - said[::-1].index(task)
        position = sum(message["role"] == "assistant" for message in request.messages[place:])
        self.asked[task, position] += 1
        self._look_whether_it_was_bought(task)
        plan = PLANS[task.split(":")[1]]
        return plan[min(position, len(plan) - 1)]

    def _look_whether_it_was_bought(self, task: str) -> None:
        """Called in a thread that reads for the worker."""
        try:
            with org_scope(self.alice.org):
                run = Run.objects.get(input=task)
                if Event.objects.filter(run=run, step=run.step, type="llm.called").exists():
                    self.bought_twice.append(task)
        finally:
            connections.close_all()


@pytest.fixture
def world(alice: Person, add_tool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(alice)

    def make(name: str) -> Callable[..., dict[str, Any]]:
        def strike(context: ToolContext) -> dict[str, Any]:
            """Have an effect."""
            return world.strike(name, context)

        strike.__name__ = name
        return strike

    def has_landed(context: ToolContext) -> dict[str, Any] | None:
        return {"found": True} if any(key == context.idempotency_key for _, _, key in world.struck) else None

    add_tool(make("pure"), taints=False, recovery="pure")
    add_tool(make("keyed"), taints=False, recovery="keyed", mutating=True)
    add_tool(make("checkable"), taints=False, recovery="checkable", mutating=True, check=has_landed)
    add_tool(make("unsure"), taints=False, recovery="unsure", mutating=True)
    add_tool(make("asking"), taints=False, recovery="unsure", mutating=True, risk="high")
    monkeypatch.setattr(scripted, "_next_step", world.answer)
    return world


class Lives(RuleBasedStateMachine):
    """`world` and `work` are set by the test."""

    world: World
    work: Callable[[], int]

    @initialize(plans=st.lists(st.sampled_from(sorted(PLANS)), min_size=3, max_size=5))
    def begin(self, plans: list[str]) -> None:
        clear_queue()
        self.life = random_text(6)
        self.runs: list[Run] = []
        self.crashes = 0
        self.again: set[tuple[str, str]] = set()  # calls that a person let run again
        self.approved: set[tuple[str, str]] = set()
        self.cancelled: set[str] = set()
        for lane, plan in enumerate(plans):
            self.start(lane % 3, plan, Strategy.ENQUEUE)

    @property
    def alice(self) -> Person:
        return self.world.alice

    @rule(
        lane=st.integers(0, 2),
        plan=st.sampled_from(sorted(PLANS)),
        strategy=st.sampled_from([Strategy.ENQUEUE, Strategy.ENQUEUE, *Strategy]),
    )
    def start_another(self, lane: int, plan: str, strategy: Strategy) -> None:
        self.start(lane, plan, strategy)

    def start(self, lane: int, plan: str, strategy: Strategy) -> None:
        with org_scope(self.alice.org):
            try:
                run = lifecycle.create_run(
                    self.alice.scope,
                    text=f"task {self.life}{len(self.runs)}:{plan}",
                    at=NOW,
                    session_key=f"s_{self.life}{lane}",
                    llm_config={"provider": "scripted", "model": "plan"},
                    multitask_strategy=strategy,
                )
            except OpenInternError as refusal:
                if (refusal.code, strategy) != ("CONFLICT", Strategy.REJECT):
                    raise
            else:
                self.runs.append(run)

    @rule()
    def work_on_one(self) -> None:
        work_sabotaged(Saboteur(0, cut=False))

    @rule(statement=st.sampled_from(range(1, 70)))
    def crash(self, statement: int) -> None:
        saboteur = Saboteur(statement, cut=False)
        work_sabotaged(saboteur)
        self.crashes += saboteur.left <= 0
        expire_leases()

    @rule()
    def crash_before_an_effect(self) -> None:
        self._crash_in_a_tool("before")

    @rule()
    def crash_after_an_effect(self) -> None:
        self._crash_in_a_tool("after")

    def _crash_in_a_tool(self, when: str) -> None:
        self.world.crash_next = when
        work_sabotaged(Saboteur(0, cut=False))
        self.crashes += not self.world.crash_next
        self.world.crash_next = ""
        expire_leases()

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        run = self._pick(which)
        if self._try(lambda: lifecycle.cancel_run(self.alice.scope, run.pk, at=NOW)):
            self.cancelled.add(run.pk)

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99))
    def speak(self, which: int) -> None:
        run = self._pick(which)
        self._try(lambda: lifecycle.inject_message(self.alice.scope, run.pk, message="Hurry!"))

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99))
    def hand_back(self, which: int) -> None:
        run = self._pick(which)
        self._try(lambda: lifecycle.requeue_run(self.alice.scope, run.pk))

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), outcome=st.sampled_from(settlement.Outcome))
    def settle(self, which: int, outcome: settlement.Outcome) -> None:
        run = self._pick(which)
        with org_scope(self.alice.org):
            doubts = list(Effect.objects.filter(run=run, status="in_doubt").values_list("tool_call_id", flat=True))
        for call in doubts or ["c0_unsure"]:
            done = self._try(partial(settlement.settle_effect, self.alice.scope, run.pk, call, outcome=outcome))
            if done and outcome is settlement.Outcome.RUN_AGAIN:
                self.again.add((run.pk, call))

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 99), verdict=st.sampled_from(Verdict))
    def decide(self, which: int, verdict: Verdict) -> None:
        run = self._pick(which)
        with org_scope(self.alice.org):
            asked = list(Approval.objects.filter(run=run).order_by("pk").values_list("tool_call_id", flat=True))
        decision = Decision(verdict=verdict)
        for call in asked[:1] if verdict is Verdict.REJECT else asked:
            done = self._try(partial(approvals.decide, self.alice.scope, run.pk, call, decision, at=NOW))
            if done and verdict is Verdict.APPROVE:
                self.approved.add((run.pk, call))

    @invariant()
    def every_log_is_whole(self) -> None:
        with org_scope(self.alice.org):
            for run in Run.objects.filter(pk__in=[run.pk for run in self.runs]):
                events = list(Event.objects.filter(run=run).order_by("seq"))
                assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
                ends = [
                    event.type for event in events if event.type in {"run.completed", "run.failed", "run.cancelled"}
                ]
                assert ends == ([f"run.{run.status}"] if run.is_final else [])
                assert run.pk not in self.cancelled or run.status == "cancelled"
                completed = [event.seq for event in events if event.type == "step.completed"]
                assert list(run.checkpoints.order_by("step").values_list("seq", flat=True)) == completed

    @invariant()
    def no_effect_is_repeated(self) -> None:
        mine = {run.pk for run in self.runs}
        times = Counter(strike for strike in self.world.struck if strike[1] in mine)
        for (name, run, key), count in times.items():
            call = key.rpartition(":")[2]
            if name in {"unsure", "asking"} and (run, call) not in self.again:
                assert count == 1, f"{name} of {run} took effect {count} times"
            if name == "asking":
                assert (run, call) in self.approved, f"{run} did what nobody had approved"
            assert name != "checkable" or count == 1

    def teardown(self) -> None:
        """Let the workers live and the people answer: every run ends, once."""
        for _ in range(4 * len(self.runs) + 4):
            expire_leases()
            self.work()
            waiting = [number for number, run in enumerate(self.runs) if reload(self.alice, run).status == "waiting"]
            if not waiting:
                break
            for number in waiting:
                self.settle(number, settlement.Outcome.DID_NOT_HAPPEN)
                self.decide(number, Verdict.APPROVE)
        self.every_log_is_whole()
        self.no_effect_is_repeated()
        for run in self.runs:
            assert reload(self.alice, run).is_final
            assert_whole(self.alice, run)
            assert ticket_of(run) is None
        assert not self.world.bought_twice
        bought = sum(count - 1 for (task, _), count in self.world.asked.items() if task.startswith(f"task {self.life}"))
        assert bought <= self.crashes + len(self.cancelled), "more was bought than crashes and cancels have cost"

    def _pick(self, which: int) -> Run:
        return self.runs[which % len(self.runs)]

    def _try(self, act: Callable[[], object]) -> bool:
        with org_scope(self.alice.org):
            try:
                act()
            except OpenInternError as refusal:
                if refusal.code not in REFUSALS:
                    raise
                return False
        return True


def live(world: World, work: Callable[[], int], *, lives: int, moves: int, is_repeatable: bool) -> None:
    machine = type("TheseLives", (Lives,), {"world": world, "work": staticmethod(work)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=lives,
            stateful_step_count=moves,
            deadline=None,
            derandomize=is_repeatable,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate] if is_repeatable else [Phase.generate, Phase.shrink],
        ),
    )


def test_a_few_lives(world: World, work: Callable[[], int]) -> None:
    live(world, work, lives=15, moves=40, is_repeatable=True)


@pytest.mark.faults
def test_many_lives(world: World, work: Callable[[], int]) -> None:
    live(world, work, lives=120, moves=40, is_repeatable=False)
