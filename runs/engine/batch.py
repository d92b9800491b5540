"""Carrying out the tool calls of one step: what is safe side by side in threads, the rest one after another."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import connections

from openintern.tenancy.scope import org_scope
from runs.engine import spans
from runs.events import Draft
from runs.llm.types import ToolCall
from runs.stop import Stop, Stopped
from runs.tools.registry import Later, Tool, ToolBlocked, ToolContext, ToolError

logger = structlog.get_logger(__name__)

PARALLEL = 8
_LOOK_INTERVAL = 0.2  # seconds between looks at whether to stop


@dataclass(frozen=True)
class Planned:
    """A tool call that may run: its tool, its checked arguments, and the rule that let it pass.

    One that `asks` may run only when a person has said so; `reason` is what that person is told.
    """

    call: ToolCall
    tool: Tool
    rule: str
    risk: str = "low"  # as the organisation rates the tool
    asks: bool = False
    reason: str = ""
    is_tainted: bool = False  # asked for when text from outside was in the context
    is_edited: bool = False  # a person put other arguments in the place of the model's

    @property
    def runs_alone(self) -> bool:
        return self.tool.mutating or self.tool.risk == "high" or self.risk == "high"


@dataclass(frozen=True)
class Result:
    """What became of a call: `value` for the model, or `error` in its place; or that its answer comes `later`."""

    call: ToolCall
    value: Any = None
    error: str = ""
    code: str = "TOOL_ERROR"
    rule: str = ""  # of the policy, where it was that which refused
    duration_ms: int = 0
    in_doubt: bool = False
    is_edited: bool = False
    from_outside: bool = False  # nobody we know wrote it
    was_blocked: bool = False  # when it was about to be made, not before
    later: Later | None = None
    may_be_delivered: bool = False  # somebody else may have brought an answer already
    news: tuple[Draft, ...] = ()  # events that are written with it

    def payload(self) -> dict[str, Any]:
        """Return the payload of the `tool.result` event."""
        body = {
            "toolName": self.call.name,
            "tool_call_id": self.call.id,
            "result": self.value,
            "isError": bool(self.error),
            "duration_ms": self.duration_ms,
        }
        if self.is_edited:
            body["args"] = self.call.arguments
        if self.from_outside:
            body["from_outside"] = True
        if self.error:
            body["error"] = {"code": self.code, "message": self.error}
        return body


def strategy(planned: Sequence[Planned]) -> str:
    """Return "parallel" where at least two calls run side by side, else "serial"."""
    return "parallel" if sum(not one.runs_alone for one in planned) > 1 else "serial"


def rounds(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Return the calls in the order they run: those that go side by side first, then the others one by one."""
    together = [one for one in planned if not one.runs_alone]
    alone = [[one] for one in planned if one.runs_alone]
    return [together, *alone] if together else alone


def carry_out(calls: Sequence[Planned], *, context: Callable[[Planned], ToolContext], stop: Stop) -> Iterator[Result]:
    """Run the calls of one round side by side, PARALLEL at a time, and yield each result as it is there.

    Raises Stopped within a fraction of a second of a stop.
    """
    for first in range(0, len(calls), PARALLEL):
        yield from _settle({_start(one, context(one)): one for one in calls[first : first + PARALLEL]}, stop=stop)


def _start(one: Planned, context: ToolContext) -> Future[Result]:
    """Begin a call in a thread of its own: a daemon, because a tool that hangs mustn't keep the worker from ending."""
    future: Future[Result] = Future()
    tags = contextvars.copy_context()  # carries the run's tags into the tool's log lines
    threading.Thread(target=tags.run, args=(_fulfil, future, one, context), name=one.tool.name, daemon=True).start()
    return future


def _fulfil(future: Future[Result], one: Planned, context: ToolContext) -> None:
    try:
        future.set_result(_call(one, context))
    except BaseException as error:  # noqa: BLE001  nothing may be lost between threads: whoever waits raises it
        future.set_exception(error)


def _settle(futures: dict[Future[Result], Planned], *, stop: Stop) -> Iterator[Result]:
    """Yield results as they come; a call that outlives its tool's time is given up with an error."""
    begun = time.monotonic()
    while futures:
        stop.check()
        done, _ = wait(futures, timeout=_LOOK_INTERVAL, return_when=FIRST_COMPLETED)
        for future in done:
            del futures[future]
            yield future.result()
        elapsed = time.monotonic() - begun
        for future in [future for future, one in futures.items() if elapsed > one.tool.timeout and not future.done()]:
            yield _overdue(futures.pop(future), elapsed)


def _overdue(one: Planned, elapsed: float) -> Result:
    """A thread can't be ended: for a tool whose effect matters, nobody knows whether it will still happen."""
    return Result(
        one.call,
        error=f"{one.tool.name} timed out after {one.tool.timeout:g} s",
        code="TOOL_TIMEOUT",
        duration_ms=round(elapsed * 1000),
        in_doubt=one.tool.recovery == "unsure",
        is_edited=one.is_edited,
        from_outside=one.tool.from_outside,
        may_be_delivered=one.tool.answers_later,
    )


def _call(one: Planned, context: ToolContext) -> Result:
    """Run one call in its own thread, inside the organisation, and leave no connection behind."""
    begun = time.monotonic()
    with spans.tool_call(one.tool.name, one.call.id) as span:
        value, error, code = _try(one, context)
        if error:
            span.failed(code)
    duration_ms = round((time.monotonic() - begun) * 1000)
    return Result(
        one.call,
        value=None if isinstance(value, Later) else value,
        error=error,
        code=code,
        duration_ms=duration_ms,
        is_edited=one.is_edited,
        from_outside=one.tool.from_outside and code != "BLOCKED",
        was_blocked=code == "BLOCKED",
        later=value if isinstance(value, Later) else None,
        may_be_delivered=one.tool.answers_later,
        news=() if error else tuple(context.news),
    )


def _try(one: Planned, context: ToolContext) -> tuple[Any, str, str]:
    """Return what the tool returned, in words for the model what went wrong, and the code of that."""
    try:
        with org_scope(context.scope.org):
            return one.tool.call(context, one.call.arguments or {}), "", "TOOL_ERROR"
    except ToolError as refusal:
        return None, str(refusal), "BLOCKED" if isinstance(refusal, ToolBlocked) else "TOOL_ERROR"
    except Stopped:
        raise
    except Exception:  # a tool's bug must not end the run; the model hears of it, the operator reads the log
        logger.exception("tool failed", tool=one.tool.name, run=context.run_id)
        return None, f"{one.tool.name} failed with an internal error", "TOOL_ERROR"
    finally:
        connections.close_all()
