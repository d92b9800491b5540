"""WebSockets: what all of them have in common. Channels carries them; what is said is for `runs.sockets`.

There is no channel layer: what happens in another process comes by NOTIFY to the hub, which every web process has.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any, Final
from weakref import WeakSet

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from openintern.errors import Invalid, OpenInternError
from openintern.live.pace import Flood, Pace
from openintern.live.reading import DATABASE_AWAY, act
from openintern.refusals import error_body, refusal
from openintern.tenancy.access import access_of
from openintern.tenancy.handshake import admit, request_of
from openintern.tenancy.renewal import Credential

logger = logging.getLogger(__name__)

LONGEST_FRAME: Final = 64 * 1024  # characters of one command
ENDED: Final = 1000  # there is nothing more to come
NO_BYTES: Final = 1003
FLOODED: Final = 1008
TOO_LARGE: Final = 1009
FAILED: Final = 1011
NOT_YOU: Final = 4401  # the session, the key, the membership or the organisation has ended
GONE: Final = 4404  # what was watched was deleted, or is no longer this person's to see

#: Everybody who holds a socket open. Weak, so that a client lost at any point frees its seat.
_sockets: WeakSet[Socket] = WeakSet()


def socket_count() -> int:
    """How many sockets this process holds open."""
    return len(_sockets)


class NotYou(Exception):
    """What somebody was let in by has ended."""


class Socket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One client's socket: let in by the access that its class declares, heard at a bounded pace, answered by id.

    A subclass says what happens when it opens (`open`), and what its commands do (`obey`).
    """

    credential: Credential

    async def open(self) -> None:
        """Accept, and begin to tell. Raises OpenInternError, which is the answer to the handshake."""
        raise NotImplementedError

    def obey(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command in a thread; return what its sender is told. Raises OpenInternError and NotYou."""
        raise Invalid("command", "Unknown command")

    async def websocket_connect(self, message: Mapping[str, Any]) -> None:
        """Let the client in, or answer the handshake with the refusal that HTTP would give."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._speaking = asyncio.Lock()
        self._is_closing = False
        self._pace = Pace(at=_clock())
        try:
            self.credential = await act(admit, self.scope, access_of(type(self)))
            self._take_seat()
            await self.open()
        except OpenInternError as error:
            await self._refuse(error)
        except DATABASE_AWAY:
            await self._refuse(OpenInternError("UNAVAILABLE", "The database can't be reached"))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Hear one frame. What can't be understood is answered; what is meant to harm ends the socket."""
        if text_data is None:
            return await self.part(NO_BYTES)
        if len(text_data) > LONGEST_FRAME:
            return await self.part(TOO_LARGE)
        try:
            is_in_time = self._pace.allows(at=_clock())
        except Flood:
            return await self.part(FLOODED)
        async with self._speaking:
            await self._hear(text_data, is_in_time=is_in_time)
        return None

    async def disconnect(self, code: int) -> None:
        """Let go of everything. Called once, whoever hung up."""
        for task in self._tasks:
            task.cancel()
        _sockets.discard(self)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside hearing the client, until the socket closes. If it fails, the socket does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._report)

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        """Send a frame, unless the socket is closing: nobody would hear it."""
        if not self._is_closing:
            await super().send(text_data=text_data, bytes_data=bytes_data, close=close)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close once, whoever else wants to."""
        if not self._is_closing:
            self._is_closing = True
            await super().close(code=code, reason=reason)

    async def tell(self, event: str, data: Mapping[str, Any]) -> None:
        """Send one message of ours."""
        await self.send(text_data=json.dumps({"event": event, "data": data}, separators=(",", ":")))

    async def part(self, code: int) -> None:
        """Close, but not in the middle of an answer."""
        async with self._speaking:
            await self.close(code=code)

    async def _hear(self, text: str, *, is_in_time: bool) -> None:
        command: Mapping[str, Any] = {}
        try:
            command = _parse(text)
            _require_patience(is_in_time)
            await self._answer(command, {"data": await act(self.obey, command)})
        except NotYou:
            await self.close(code=NOT_YOU)
        except OpenInternError as error:
            await self._answer(command, error_body(error))
        except DATABASE_AWAY:
            away = OpenInternError("UNAVAILABLE", "The database can't be reached")
            await self._answer(command, error_body(away))

    async def _answer(self, command: Mapping[str, Any], body: Mapping[str, Any]) -> None:
        answer = {"answer": command.get("id"), "ok": "error" not in body, **body}
        await self.send(text_data=json.dumps(answer, separators=(",", ":")))

    def _take_seat(self) -> None:
        mine = Counter(each.credential.scope.user.pk for each in _sockets)[self.credential.scope.user.pk]
        if len(_sockets) >= getattr(settings, "LIVE_SOCKETS", 1000) or mine >= getattr(
            settings, "LIVE_SOCKETS_PER_PERSON", 50
        ):
            raise OpenInternError("UNAVAILABLE", "Too many sockets are open; try again", details={"retry_after": 5})
        _sockets.add(self)

    async def _refuse(self, error: OpenInternError) -> None:
        """Answer the handshake as HTTP would, where the server can say more than 403."""
        _sockets.discard(self)
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            await self.close()
            raise StopConsumer
        response = refusal(_request_for_refusal(self.scope), error)
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
        start = {"type": "websocket.http.response.start", "status": response.status_code, "headers": headers}
        await self.base_send(start)
        await self.base_send({"type": "websocket.http.response.body", "body": response.content})
        raise StopConsumer

    def _report(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):  # which says that the client has gone
            logger.error("live: a socket failed", exc_info=error)
            self._tasks.add(asyncio.create_task(self.close(code=FAILED)))


def _request_for_refusal(scope: Mapping[str, Any]) -> Any:
    """The request as a refusal looks at it: only its path says who reads the answer."""
    return request_of({**scope, "headers": [(b"host", b"localhost")]})


def _require_patience(is_in_time: bool) -> None:
    if not is_in_time:
        raise OpenInternError("THROTTLED", "Too many commands; wait a moment", details={"retry_after": 1})


def _parse(text: str) -> Mapping[str, Any]:
    """Return the command. Raises VALIDATION_ERROR for what isn't a JSON object with a usable id."""
    try:
        command = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OpenInternError("VALIDATION_ERROR", "The frame is not valid JSON") from error
    if not isinstance(command, dict):
        raise Invalid("command", "Must be a JSON object")
    number = command.get("id")
    if isinstance(number, bool) or not isinstance(number, int | str | None) or len(str(number)) > 64:
        command.pop("id")
        raise Invalid("id", "Must be a number or a text of at most 64 characters")
    return command


def _clock() -> float:
    return asyncio.get_running_loop().time()
