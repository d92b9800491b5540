"""Runs with real commits, workers in this process, and tools made for the occasion."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from django.db import connection, connections

from openintern.ids import random_text
from openintern.tenancy.scope import public_scope
from runs.llm import scripted
from runs.models import Run
from runs.queue.models import Ticket, Turn
from runs.queue.pulse import Pulse
from runs.queue.worker import work_once
from runs.tools import registry
from tests.conftest import Cast, Person, reload
from tests.peers.receiver import receive  # noqa: F401  a fixture
from tests.peers.site import allow  # noqa: F401  a fixture

_idle: SimpleQueue[Pulse] = SimpleQueue()  # a pulse never ends, so the next worker gets the last one's


@pytest.fixture
def alice(committed: Cast) -> Person:
    return committed.alice


@pytest.fixture
def bob(committed: Cast) -> Person:
    return committed.bob


@pytest.fixture
def charlie(committed: Cast) -> Person:
    return committed.charlie


@pytest.fixture
def start_run(start_run: Callable[..., Run]) -> Callable[..., Run]:
    """As everywhere, but each run in a session of its own unless told: a script counts the answers it has given."""

    def start(person: Person, text: str = "a task", **options: Any) -> Run:
        options.setdefault("session_key", f"s_{random_text(8)}")
        return start_run(person, text, **options)

    return start


@pytest.fixture(autouse=True)
def empty_queue(committed: Cast) -> Iterator[None]:
    """No ticket of another test is there to be claimed."""
    clear_queue()
    yield
    scripted.forget()
    clear_queue()


def clear_queue() -> None:
    with public_scope():
        Ticket.objects.all().delete()
        Turn.objects.all().delete()


@contextmanager
def a_pulse(**options: Any) -> Iterator[Pulse]:
    """A pulse of one's own for the block."""
    try:
        pulse = _idle.get_nowait()
    except Empty:
        pulse = Pulse(owner=f"test-{_idle.qsize()}-{threading.get_ident()}")
    try:
        yield pulse
    finally:
        _idle.put(pulse)


@pytest.fixture
def work(committed: Cast) -> Callable[[], int]:
    """Be a worker until there is nothing left to claim; returns how many runs were worked on."""

    def work_all() -> int:
        worked = 0
        with a_pulse() as pulse:
            while work_once(pulse):
                worked += 1
        return worked

    return work_all


@dataclass
class Hand:
    """A worker in a thread, for one run."""

    thread: threading.Thread = field(init=False)
    worked: bool = False
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            with a_pulse() as pulse:
                self.worked = work_once(pulse)
        except BaseException as error:  # noqa: BLE001  `join` raises it in the test
            self.error = error
        finally:
            connections.close_all()

    def join(self, *, within: float = 10) -> None:
        self.thread.join(within)
        assert not self.thread.is_alive(), f"the worker is still at it after {within} s"
        if self.error:
            raise self.error


@pytest.fixture
def hire(committed: Cast) -> Iterator[Callable[[], Hand]]:
    """Put a worker to one run, beside the test."""
    hands: list[Hand] = []

    def start() -> Hand:
        hands.append(Hand())
        return hands[-1]

    yield start
    for hand in hands:
        hand.thread.join(15)


@pytest.fixture
def add_tool(monkeypatch: pytest.MonkeyPatch) -> Callable[..., registry.Tool]:
    """Make a function a tool for this test: before the run starts, for it pins what it is offered."""

    def add(function: Callable[..., dict[str, Any]], **declared: Any) -> registry.Tool:
        made = registry.build(function, **{"risk": "low", "hazard": "none", "taints": False, **declared})
        monkeypatch.setitem(registry._registered, made.name, made)
        return made

    return add


class Crash(BaseException):
    """The end of a worker, as far as it can be played inside one process."""


@pytest.fixture
def crash_in(monkeypatch: pytest.MonkeyPatch, hire: Callable[[], Hand]) -> Callable[..., None]:
    """Let a worker die over the next run, before (or right after) it calls `where.name`; then let its lease run out."""

    def crash(where: Any, name: str, *, after: bool = False) -> None:
        original = getattr(where, name)

        def dies(*args: Any, **kwargs: Any) -> Any:
            if after:
                original(*args, **kwargs)
            raise Crash

        with monkeypatch.context() as patched:
            patched.setattr(where, name, dies)
            with pytest.raises(Crash):
                hire().join()
        expire_leases()

    return crash


def expire_leases() -> None:
    """Let ten seconds pass for every lease that nobody renews."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE public.queue_ticket SET lease_expires_at = now() - interval '1 s' WHERE lease_expires_at IS NOT NULL"
        )


def ticket_of(run: Run) -> Ticket | None:
    with public_scope():
        return Ticket.objects.filter(run_id=run.pk).first()


def status_of(person: Person, run: Run) -> str:
    return reload(person, run).status


def eventually(claim: Callable[[], Any], *, within: float = 10) -> Any:
    """Return what `claim` gives as soon as that is true; fail if it isn't in time."""
    ends_at = time.monotonic() + within
    while not (found := claim()):
        assert time.monotonic() < ends_at, f"not so within {within} s"
        time.sleep(0.02)
    return found


def in_thread(function: Callable[[], object], *, within: float = 20) -> None:
    """Run `function` in a thread, with connections of its own, to its end."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(within)
    assert not thread.is_alive(), f"not done within {within} s"
