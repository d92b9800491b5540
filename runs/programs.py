"""How a run goes from turn to turn. A run of a single agent has one; an app above can have several agents work on it.

Such an app registers a program for the runs whose configuration has a certain key, in its module `programs`. The engine
asks it what a run begins with, whose turn it is by the log, and what follows when a turn ends. A program keeps nothing:
all that it knows is in the run's configuration and in its log, so that any worker goes on where another one died.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from runs.engine.outcomes import Fail
from runs.engine.turn import Turn
from runs.events import Draft
from runs.models import Run


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How and when a turn ended: with an answer, or with a failure in its place. The numbers are the run's, that turn included."""

    at: datetime
    text: str = ""
    failure: Fail | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Another turn begins: `opening` are its first events, behind those that close the last one."""

    closing: tuple[Draft, ...] = ()
    opening: tuple[Draft, ...]


@dataclass(frozen=True, kw_only=True)
class End:
    """The run is done, and this came of it."""

    closing: tuple[Draft, ...] = ()
    output: str


@dataclass(frozen=True, kw_only=True)
class Break:
    """The run ends without an answer."""

    closing: tuple[Draft, ...] = ()
    failure: Fail


Move = Begin | End | Break


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one of several agents does beside the others, in a run of its own; `begun` is what the log says of that.

    Its payload gets the run as `runId`.
    """

    agent_id: str
    config: dict[str, Any]
    begun: Draft


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Agents go to work beside each other, and the run waits for them."""

    parts: tuple[Part, ...]


class Program(Protocol):
    """Who works on a run, and in which order."""

    def opening(self, run: Run) -> tuple[Draft, ...]:
        """Return the events with which the first turn begins, behind `run.started`."""
        ...

    def told(self, run: Run) -> dict[str, Any]:
        """Return what `run.started` says of it, beside what it says of every run."""
        ...

    def turn(self, run: Run) -> Turn:
        """Return whose turn it is, by the log."""
        ...

    def after(self, run: Run, turn: Turn, ended: Ended) -> Move:
        """Return what follows a turn that ended so; in the transaction that writes it, which has locked the run."""
        ...

    def cut_short(self, run: Run, ended: Ended) -> tuple[Draft, ...]:
        """Return how the turns end that are under way when the run ends before its time; `ended.failure` says by what.

        Called in the transaction that ends the run, which has locked it.
        """
        ...

    def gather(self, run: Run) -> Move | Scatter | None:
        """Return what follows while it is nobody's turn; None if the run has to wait for parts that are under way."""
        ...

    def arrival(self, run: Run, part: Run) -> tuple[Draft, ...]:
        """Return what the log has to say of a part that has ended; nothing if it isn't waited for (any more)."""
        ...


class Alone:
    """The program of a run that one agent does."""

    def opening(self, run: Run) -> tuple[Draft, ...]:
        """Return nothing: the turn begins with the run."""
        return ()

    def told(self, run: Run) -> dict[str, Any]:
        """Return nothing: there is nothing special about it."""
        return {}

    def turn(self, run: Run) -> Turn:
        """Return the one turn that there is."""
        return Turn.whole(run)

    def after(self, run: Run, turn: Turn, ended: Ended) -> Move:
        """Return the end: what the agent says, or how it fails, is what becomes of the run."""
        return Break(failure=ended.failure) if ended.failure else End(output=ended.text)

    def cut_short(self, run: Run, ended: Ended) -> tuple[Draft, ...]:
        """Return nothing: the turn ends with the run."""
        return ()

    def gather(self, run: Run) -> Move | Scatter | None:
        """Return nothing: it is always somebody's turn."""
        return None

    def arrival(self, run: Run, part: Run) -> tuple[Draft, ...]:
        """Return nothing: it has no parts."""
        return ()


_ALONE: Final = Alone()
_registered: dict[str, Program] = {}


def register(key: str, program: Program) -> None:
    """Have `program` decide about the runs that have `key` in their configuration; called once, at start-up."""
    _registered[key] = program


def program_of(run: Run) -> Program:
    """Return by which program a run goes."""
    return next((program for key, program in _registered.items() if key in run.config), _ALONE)
