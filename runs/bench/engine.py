"""What one step costs: a model turn with one tool call, by a worker in this process, with a model that answers at once."""

from __future__ import annotations

import itertools
import random
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Annotated, Any

from django.db import connections
from django.utils import timezone

from openintern.bench import Figure, Options, suite
from openintern.bench.gauges import Gauge, Reading, counted_statements, percentile
from openintern.ids import random_text
from openintern.tenancy.scope import Scope, org_scope
from runs import lifecycle
from runs.bench import floors
from runs.llm import scripted
from runs.models import Budget, Run
from runs.queue.pulse import Held, Pulse
from runs.queue.worker import work_once
from runs.tools import registry
from runs.tools.registry import ToolContext

SHORT, LONG = 10, 200  # steps
RESULT_BYTES = 1000

_tool_calls_at: list[float] = []


@suite("engine", environ={"AGENT_MAX_STEPS": "1000"})
def measure(options: Options) -> Iterator[Figure]:
    """Yield the counters of a step, and unless in a hurry its times."""
    registry.register(registry.build(look_up, risk="low", recovery="pure", taints=False, hazard="none"))
    worker = Worker(options.scope)
    worker.take(SHORT)  # the first run of a process loads and prepares what the others find
    long = 120 if options.quick else LONG  # the pages that indexes split into come to so much a step only in many
    pairs = [(worker.take(SHORT), worker.take(long)) for _ in range(3)]
    yield from _counters(pairs, long=long)
    yield _budgeted(worker, options.scope, long=long)
    if options.quick:
        return
    yield from _times(worker)
    yield _resume(worker, times=5)


def look_up(context: ToolContext, number: Annotated[int, "The entry's number"]) -> dict[str, Any]:
    """Return an entry of about a kilobyte."""
    _tool_calls_at.append(time.perf_counter())
    return {"entry": entry(number)}


@cache
def entry(number: int) -> str:
    """Text that compresses as badly as real text does, the same for the same number."""
    choose = random.Random(number)  # noqa: S311  the same for everybody
    words = (
        "".join(choose.choices("abcdefghijklmnoprstuvw", k=choose.randint(2, 9))) for _ in range(RESULT_BYTES // 4)
    )
    return " ".join(words)[:RESULT_BYTES]


@dataclass(frozen=True)
class Taken:
    """What a run of some steps took."""

    steps: int
    reading: Reading
    statements: int
    seconds: list[float]  # of each step but the last


class Silent(Pulse):
    """A pulse that doesn't beat: a lease is renewed by the clock, which is no part of what a step costs."""

    def hold(self, held: Held) -> None:
        """Leave the lease as it is."""


class Worker:
    """A worker in this process, and the one who gives it work."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._pulse = Silent(owner="bench")

    def take(self, steps: int) -> Taken:
        """Work on a run of that many steps with a tool call each, and one that answers."""
        self.start(*_turns(steps), {"text": "Done."})
        _tool_calls_at.clear()
        with Gauge() as gauge, counted_statements() as statements:
            before = gauge.read()
            self.work()
            after = gauge.read()
        if len(_tool_calls_at) != steps:
            raise AssertionError(f"the run took {len(_tool_calls_at)} steps of {steps}")
        seconds = [late - early for early, late in itertools.pairwise(_tool_calls_at)]
        return Taken(steps, after - before, statements.count, seconds)

    def start(self, *turns: dict[str, Any]) -> Run:
        """Give it a run in a session of its own, for which the model has these answers."""
        name = f"bench-{random_text(8)}"
        for number in range(len(turns)):
            entry(number)  # made before the clock starts
        scripted.play(name, *turns)
        with org_scope(self._scope.org):
            return lifecycle.create_run(
                self._scope,
                text="Look everything up",
                at=timezone.now(),
                session_key=f"s_{random_text(12)}",
                llm_config={"provider": "scripted", "model": name},
            )

    def work(self, pulse: Pulse | None = None) -> None:
        """Work on the next run."""
        if not work_once(pulse or self._pulse):
            raise AssertionError("there was no run to work on")


def _turns(steps: int) -> list[dict[str, Any]]:
    return [
        {
            "text": f"I look entry {number} up. {entry(number)[:120]}",
            "tool_calls": [{"name": "look_up", "arguments": {"number": number}}],
        }
        for number in range(steps)
    ]


def _counters(pairs: list[tuple[Taken, Taken]], *, long: int) -> Iterator[Figure]:
    """What a step adds: the difference of a long and a short run, so that beginning and end count for nothing."""
    yield Figure(
        name="write transactions a step", value=round(_per_step(pairs, "writes"), 1), unit="", bar=2, aim=2, enforced=True,
        note="a model turn and one tool call",
    )  # fmt: skip
    yield Figure(
        name="statements a step", value=round(_per_step(pairs, "statements"), 1), unit="", bar=20, aim=16, enforced=True,
        note="BEGIN, COPY and COMMIT aside",
    )  # fmt: skip
    yield Figure(
        name="WAL a step", value=_per_step(pairs, "wal") / 1024, unit="kB", bar=6, aim=4, enforced=True,
        note=f"with a tool result of {RESULT_BYTES} bytes",
    )  # fmt: skip
    growth = statistics.median(much.reading.wal / (little.reading.wal * long / SHORT) for little, much in pairs)
    yield Figure(
        name=f"WAL of {long} steps over {long // SHORT} × that of {SHORT}", value=growth, unit="", bar=1.15, aim=1.05,
        enforced=True,
    )  # fmt: skip


def _budgeted(worker: Worker, scope: Scope, *, long: int) -> Figure:
    """What a call may cost is held before it and settled after it; that must not take a transaction of its own."""
    with org_scope(scope.org):
        budget = Budget.objects.create(limit_tokens=10**12)
        pairs = [(worker.take(SHORT), worker.take(long)) for _ in range(3)]
        budget.delete()
    return Figure(
        name="write transactions a step where a budget applies", value=round(_per_step(pairs, "writes"), 1), unit="",
        bar=2, aim=2, enforced=True,
    )  # fmt: skip


def _per_step(pairs: list[tuple[Taken, Taken]], pick: str) -> float:
    return statistics.median(
        (_counter(much, pick) - _counter(little, pick)) / (much.steps - little.steps) for little, much in pairs
    )


def _counter(taken: Taken, pick: str) -> int:
    return taken.statements if pick == "statements" else int(getattr(taken.reading, pick))


def _times(worker: Worker) -> Iterator[Figure]:
    entries = [entry(number) for number in range(LONG)]
    with floors.connect() as own:
        floors.two_transactions(own, entries[:SHORT])
        floor = floors.two_transactions(own, entries)
        seconds = worker.take(LONG).seconds
        floor += floors.two_transactions(own, entries)
    yield Figure(
        name="a step, median", value=percentile(seconds, 50) * 1000, unit="ms",
        floor=percentile(floor, 50) * 1000, floor_name="ms: two bare transactions", bar=5, aim=3,
        note=f"of a {LONG}-step run, with a model that answers at once",
    )  # fmt: skip
    tenth = LONG // 10
    ratios = []
    for _ in range(3):
        seconds = worker.take(LONG).seconds
        ratios.append(statistics.median(seconds[-tenth:]) / statistics.median(seconds[:tenth]))
    yield Figure(
        name=f"last tenth of a {LONG}-step run over its first",
        value=statistics.median(ratios),
        unit="",
        bar=1.25,
        aim=1.1,
    )


def _resume(worker: Worker, *, times: int) -> Figure:
    """From before the claim to the model's next call, of a run that another worker handed back after LONG steps."""
    taken = []
    for number in range(times):
        held = f"resumed-{number}-{random_text(6)}"
        worker.start(*_turns(LONG), {"text": "Done.", "hold": held})
        _hand_back_after(worker, LONG)
        began = time.perf_counter()
        thread = threading.Thread(target=_work_and_close, args=(worker,), daemon=True)
        thread.start()
        scripted.wait_held(held)
        taken.append(time.perf_counter() - began)
        scripted.release(held)
        thread.join(30)
    return Figure(
        name=f"resume of a {LONG}-step run, claim to next model call", value=statistics.median(taken) * 1000, unit="ms",
        bar=150, aim=50,
    )  # fmt: skip


def _hand_back_after(worker: Worker, steps: int) -> None:
    """Let a worker take these steps and hand the run back, as one does that is asked to end."""
    asked = get_context("fork").Event()
    _tool_calls_at.clear()
    watch = threading.Thread(target=_set_after, args=(asked, steps), daemon=True)
    watch.start()
    worker.work(Pulse(owner="bench-drained", shutdown=asked))
    watch.join(60)


def _set_after(asked: Any, steps: int) -> None:
    while len(_tool_calls_at) < steps:
        time.sleep(0.0005)
    asked.set()


def _work_and_close(worker: Worker) -> None:
    try:
        worker.work()
    finally:
        connections.close_all()
