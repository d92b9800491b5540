"""This process's connections to foreign servers: one for each server, opened when it is needed, kept while it is used.

They live in an event loop in a thread of its own, so that tools, which are plain functions, can wait for them. Children
end with their connection, and with this process: also by kill -9.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog

from openintern.redaction import redact_text
from openintern.text import storable
from runs.stop import Stop

if TYPE_CHECKING:
    from mcp.client.client import Client

logger = structlog.get_logger(__name__)

T = TypeVar("T")

CONNECT_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 300.0
BACK_OFF: Final = (1.0, 2.0, 4.0)  # seconds after the first, second, third failure in a row
GIVEN_UP: Final = 60.0  # after that
_LOOK_INTERVAL: Final = 0.1


class Failed(Exception):
    """The server could not be reached, ended, or said what can't be understood. The message is fit for an admin."""


class TimedOut(Failed):
    """No answer in time; whatever was asked may have happened."""


class Way(Protocol):
    """How to reach a server."""

    def streams(self) -> AbstractAsyncContextManager[Any]:
        """Connect, for the length of the block."""
        ...


Ask = Callable[["Client"], Awaitable[T]]


@dataclass
class _Line:
    """One server as this process knows it: its connection, if there is one, and how often it failed."""

    task: asyncio.Task[None] | None = None
    client: Any = None
    used_at: float = field(default_factory=time.monotonic)
    failures: int = 0
    not_before: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Connections:
    """All of a process's. `key` names a server with its settings: changed settings are another connection."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    def ask(self, key: str, way: Callable[[], Way], question: Ask[T], *, within: float, stop: Stop | None = None) -> T:
        """Ask the server something, over its connection or a new one; return the answer.

        Raises Failed, TimedOut (the connection is closed then, and a child killed), and Stopped within a moment of a stop.
        """
        _load()
        future = asyncio.run_coroutine_threadsafe(self._ask(key, way, question, within), self._running())
        while True:
            try:
                return future.result(_LOOK_INTERVAL)
            except FutureTimeout:
                if future.done():
                    raise
                if stop is not None and stop.reason is not None:
                    future.cancel()
                    stop.check()
            except CancelledError as error:
                raise Failed("The connection was closed") from error

    def close(self, key: str) -> None:
        """End a connection, if there is one, and forget how it fared."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._close(key, forget=True), self._loop).result(10)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="mcp", daemon=True).start()
                asyncio.run_coroutine_threadsafe(self._close_idle(), self._loop)
            return self._loop

    async def _ask(self, key: str, way: Callable[[], Way], question: Ask[T], within: float) -> T:
        line = self._lines.setdefault(key, _Line())
        client = await self._open(key, line, way)
        line.used_at = time.monotonic()
        asked = asyncio.ensure_future(question(client))
        try:
            waited = {asked, line.task} if line.task else {asked}
            await asyncio.wait(waited, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            has_ended, is_unanswered = line.task is None or line.task.done(), not asked.done()
            if is_unanswered:  # an answer that comes too late must not be taken for another's
                asked.cancel()
                await self._close(key)
        if is_unanswered:
            raise Failed("The server ended before it answered") if has_ended else _late(within)
        return _answered(asked)

    async def _open(self, key: str, line: _Line, way: Callable[[], Way]) -> Any:
        async with line.lock:
            if line.client is not None and line.task is not None and not line.task.done():
                return line.client
            if (wait := line.not_before - time.monotonic()) > 0:
                raise Failed(f"The server has failed {line.failures} times; it is tried again in {wait:.0f} s")
            ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            line.task = asyncio.create_task(_hold(way, ready, line), name=f"mcp {key}")
            done, _ = await asyncio.wait(
                {ready, line.task}, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if ready in done and not ready.cancelled() and ready.exception() is None:
                line.client, line.failures, line.not_before = ready.result(), 0, 0.0
                return line.client
            raise await self._not_opened(key, line, ready)

    async def _not_opened(self, key: str, line: _Line, ready: asyncio.Future[Any]) -> Failed:
        line.failures += 1
        pause = BACK_OFF[line.failures - 1] if line.failures <= len(BACK_OFF) else GIVEN_UP
        line.not_before = time.monotonic() + pause
        failure = ready.exception() if ready.done() and not ready.cancelled() else None
        await self._close(key)
        return (
            failure
            if isinstance(failure, Failed)
            else Failed(f"The server did not answer within {CONNECT_SECONDS:g} s")
        )

    async def _close(self, key: str, *, forget: bool = False) -> None:
        line = self._lines.get(key)
        if line is None:
            return
        task, line.task, line.client = line.task, None, None
        if forget:
            self._lines.pop(key, None)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=5)

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS / 10)
            now = time.monotonic()
            for key in [key for key, line in self._lines.items() if line.task and now - line.used_at > IDLE_SECONDS]:
                await self._close(key)


def _load() -> None:
    """Import the SDK before a server's time begins: on a busy machine that takes longer than the server may."""

    import runs.mcp.transports  # noqa: F401, PLC0415


async def _hold(way: Callable[[], Way], ready: asyncio.Future[Any], line: _Line) -> None:
    """Open a connection and keep it until it is cancelled, or the server ends it."""
    from mcp.client.client import Client  # noqa: PLC0415  the SDK takes a second to import

    place: Way | None = None
    try:
        place = way()
        async with Client(place.streams(), cache=None, mode="legacy", read_timeout_seconds=None) as client:
            ready.set_result(client)
            await _until_it_ends(client)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001  the SDK raises groups, of whatever a stranger's server brings about
        failure = Failed(_told(error, place))
        if not ready.done():
            ready.set_exception(failure)
        logger.info("mcp: a connection ended", reason=str(failure))
    finally:
        line.client = None


async def _until_it_ends(client: Any) -> None:
    """Return when the other side has closed. The SDK's session doesn't say; its dispatcher does."""
    dispatcher = client.session._dispatcher  # noqa: SLF001  nothing public tells it
    while not getattr(dispatcher, "_closed", False):
        await asyncio.sleep(_LOOK_INTERVAL)
    raise Failed("The server has ended")


def _late(within: float) -> TimedOut:
    return TimedOut(f"The server did not answer within {within:g} s")


def _answered(asked: asyncio.Future[T]) -> T:
    try:
        return asked.result()
    except asyncio.CancelledError as error:
        raise Failed("The connection was closed") from error
    except Failed:
        raise
    except BaseException as error:
        raise Failed(_told(error, None)) from error


def _told(error: BaseException, place: Any) -> str:
    """The first thing that went wrong, in a line; with a child's last words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error) or type(error).__name__
    words = place.words() if hasattr(place, "words") else ""
    if getattr(place, "was_too_loud", False):
        text = "It said more at once than is taken"
    told = f"{text}\n{words}" if words else text
    return str(storable(redact_text(told)))[:1000]


connections = Connections()
