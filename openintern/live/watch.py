"""How things stand, as it changes: server-sent events for what has no log of its own.

Whoever changes such things rings (`runs.log.notify`) under the name that the watch waits for. The watch looks again, tells
each thing that isn't as it was, and ends when nothing more can come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from openintern.errors import NotFound, OpenInternError
from openintern.live.bell import Bell
from openintern.live.frames import encode, now
from openintern.live.reading import DATABASE_AWAY, read
from openintern.refusals import refusal
from openintern.tenancy.identity import ScopedRequest
from openintern.tenancy.renewal import Credential, credential_of, renew
from openintern.tenancy.scope import Scope, org_scope

PAUSE: Final = 0.5  # seconds in which rings are gathered: a watch costs at most two looks a second
CHECK: Final = 6.0  # seconds after which it looks unrung: a ring may have got lost, a right may have ended
PING: Final = 8.0  # seconds of silence after which the next look pings; clients are promised one in 15
LONGEST: Final = 3600.0  # seconds after which a client has to come again
MOST: Final = 200  # watches that a process keeps open

#: Weak, so that a client lost at any point frees its seat.
_watches: WeakSet[Watch] = WeakSet()


def watch_count() -> int:
    """How many watches this process keeps open."""
    return len(_watches)


@dataclass(frozen=True)
class Standing:
    """How things stand, by a name for each; `is_over`: for good."""

    things: Mapping[str, Mapping[str, Any]]
    is_over: bool


Look = Callable[[Scope], Standing]


@dataclass(frozen=True)
class Watched:
    """What is watched: rung under `name` in the organisation, seen by who may read the `resource`, looked at by `look`.

    `look` is called in a reader thread, inside the organisation; it raises NOT_FOUND for what is out of sight.
    `about` stands in `done`, `event` is what each thing is told as.
    """

    name: str
    resource: str
    look: Look
    about: Mapping[str, Any]
    event: str = "progress"


async def answer(request: ScopedRequest, bell: Bell, watched: Watched) -> HttpResponseBase:
    """Stream each thing, again each that changes, then `done`. Refusals come before the first byte."""
    credential = credential_of(request, at=timezone.now())
    if credential is None or request.method != "GET":
        return refusal(request, OpenInternError("METHOD_NOT_ALLOWED", "A stream can only be read: GET"))
    try:
        watch = Watch(bell, watched, credential)
        await watch.open()
    except OpenInternError as error:
        return refusal(request, error)
    except DATABASE_AWAY:
        return refusal(request, OpenInternError("UNAVAILABLE", "The database can't be reached"))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(watch.body(), content_type="text/event-stream", headers=headers)


class Watch:
    """One client's. Making it takes a seat: raises UNAVAILABLE where there is none."""

    def __init__(self, bell: Bell, watched: Watched, credential: Credential) -> None:
        if len(_watches) >= MOST:
            raise OpenInternError("UNAVAILABLE", "Too many streams are open; try again", details={"retry_after": 5})
        _watches.add(self)
        self._bell = bell
        self._watched = watched
        self._credential = credential
        self._topic = f"{credential.scope.org.schema_name}:{watched.name}"
        self._rung = asyncio.Event()
        self._known: dict[str, Mapping[str, Any]] = {}
        self._ping_at = 0.0

    async def open(self) -> None:
        """Look once, with the rights of now. Raises NOT_FOUND; who is refused takes no seat."""
        await sync_to_async(connections.close_all)()  # what told us who asks: the stream may last
        try:
            self._standing = await self._look()
        except BaseException:
            _watches.discard(self)
            raise

    async def body(self) -> AsyncIterator[bytes]:
        """The bytes of the response."""
        ends_at, self._ping_at = time.monotonic() + LONGEST, time.monotonic() + PING
        self._bell.wait_for(self._topic, self._rung.set)
        self._rung.set()  # something may have changed before anybody listened
        try:
            yield self._news()
            while not self._standing.is_over and time.monotonic() < ends_at:
                await self._wait()
                self._standing = await self._look()
                if news := self._news() + self._ping_if_due():
                    yield news
            if self._standing.is_over:
                yield encode("done", dict(self._watched.about))
        except (OpenInternError, *DATABASE_AWAY):  # it is out of sight by now; or the client comes again
            return
        finally:
            self._bell.forget(self._topic, self._rung.set)
            _watches.discard(self)

    async def _wait(self) -> None:
        """Until it is rung, or for a while; and then a little longer, for what comes close behind."""
        try:
            async with asyncio.timeout(CHECK):
                await self._rung.wait()
        except TimeoutError:
            return
        await asyncio.sleep(PAUSE)
        self._rung.clear()

    async def _look(self) -> Standing:
        return await read(partial(_look, self._credential, self._watched))

    def _news(self) -> bytes:
        """What isn't as it was told."""
        things = self._standing.things
        changed = [thing for name, thing in things.items() if self._known.get(name) != thing]
        self._known = dict(things)
        return b"".join(encode(self._watched.event, thing) for thing in changed)

    def _ping_if_due(self) -> bytes:
        if self._standing.is_over or time.monotonic() < self._ping_at:
            return b""
        self._ping_at = time.monotonic() + PING
        return encode("ping", {"ts": now()})


def _look(credential: Credential, watched: Watched) -> Standing:
    """In one of the few threads that streams share; its connection goes back at once."""
    scope = renew(credential, at=timezone.now())
    if scope is None or not credential.allows(scope, watched.resource, "read"):
        raise NotFound("Stream")
    with org_scope(scope.org):
        return watched.look(scope)
