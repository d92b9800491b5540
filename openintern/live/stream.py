"""One client's stream: from a place in the log to the last event, each once and in order."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Hashable, Mapping
from typing import Any, Final
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from django_eventstream.eventrequest import EventRequest
from django_eventstream.eventresponse import EventResponse
from django_eventstream.eventstream import EventPermissionError, get_events
from django_eventstream.views import Listener as LibraryListener
from django_eventstream.views import get_listener_manager

from openintern.ids import random_text
from openintern.live.feed import RETRY, Batch, Feed, Gone
from openintern.live.frames import Frame, Passage, encode, now
from openintern.live.hub import Hub
from openintern.live.reading import DATABASE_AWAY, read

logger = logging.getLogger(__name__)

PING: Final = 14.0  # seconds between pings; clients are promised 15

#: Everybody who holds a stream open. Weak, so that a client lost at any point frees its seat.
_streams: WeakSet[Stream] = WeakSet()


class Full(Exception):
    """There is no seat for another stream."""


def client_count() -> int:
    """How many streams this process holds open."""
    return len(_streams)


def _require_seat(channel: str) -> None:
    if len(_streams) >= getattr(settings, "LIVE_STREAMS", 1000):
        raise Full
    if Counter(stream.channel for stream in _streams)[channel] >= getattr(settings, "LIVE_STREAMS_PER_RUN", 1000):
        raise Full


class Stream:
    """Reads the table until it has caught up, then follows the feed; falls back to the table whenever it lags.

    `about` goes into the frames that are the stream's own (`connected`, `gone`). Making a stream takes a seat:
    raises Full.
    """

    def __init__(self, hub: Hub, channel: str, *, subscriber: Hashable, about: Mapping[str, Any]) -> None:
        _require_seat(channel)
        _streams.add(self)
        self.channel = channel
        self.subscriber = subscriber
        self.listener = _listener(channel, subscriber)
        self._hub = hub
        self._about = about
        self._request = _request(channel, subscriber)
        self._first_page: EventResponse | None = None
        self._seq = 0
        self._is_behind = True
        self._is_over = False
        self._ping_at = 0.0
        self._speech = Speech()

    async def open(self, after: int) -> bool:
        """Read the first page in the subscriber's name. Returns whether there is, or will be, anything to tell.

        Raises Gone where the subscriber may not read or there is nothing of that name: the two look alike.
        """
        await _release_connection()  # readers wait for connections that requests hold, who must not wait for readers
        try:
            page, last_seq, is_ended = await read(self._look, after)
        except EventPermissionError as error:
            raise Gone from error
        self._seq = min(after, last_seq)  # nobody has seen what isn't there yet
        self._request.channel_last_ids = {self.channel: self._seq}
        self._first_page = page
        return not is_ended

    def _look(self, after: int) -> tuple[EventResponse, int, bool]:
        """Return the first page, and, where it is empty, where the log ends and whether for ever."""
        self._request.channel_last_ids = {self.channel: after}
        page = get_events(self._request)
        if page.channel_items[self.channel]:
            return page, after, False
        return page, *self._hub.source.extent(self.channel)

    async def body(self) -> AsyncGenerator[bytes]:
        """The bytes of the response."""
        await _release_connection()  # middleware may have taken one again, and would keep it as long as the stream
        feed = self._hub.join(self)
        try:
            self._ping_at = _clock() + PING
            yield encode("connected", {"clientId": "cl_" + random_text(12), **self._about, "ts": now()})
            while not self._is_over:
                chunk = await (self._catch_up(feed) if self._is_behind else self._follow(feed))
                if chunk := chunk + self._ping_if_due():
                    yield chunk
        finally:
            self._hub.leave(self)
            _streams.discard(self)

    def wake(self) -> None:
        """Let the stream look at its feed again."""
        self.listener.aevent.set()

    def close(self) -> None:
        """End the stream: what it follows has gone, or may not be followed any more."""
        self.listener.error = {"condition": "gone"}
        self.wake()

    async def _catch_up(self, feed: Feed) -> bytes:
        """Return the next page of the table."""
        was_overtaken = self._seq < feed.seq
        try:
            page = await self._next_page()
        except EventPermissionError:
            return self._part()
        except DATABASE_AWAY as error:
            logger.warning("live: can't read %s (%s)", self.channel, type(error).__name__)
            await asyncio.sleep(RETRY)
            return b""
        frames = [event.data for event in page.channel_items[self.channel]]
        if was_overtaken and not frames:
            return self._part()  # what the feed has read isn't there any more
        chunk = self._tell(frames)
        self._request.channel_last_ids[self.channel] = self._seq
        self._is_behind = bool(page.channel_more)
        self.wake()  # the feed may be further already, or have text to show
        return chunk

    async def _next_page(self) -> EventResponse:
        """Return the page that `open` has read, then page after page in the subscriber's name."""
        if self._first_page is None:
            return await read(get_events, self._request)
        page, self._first_page = self._first_page, None
        return page

    async def _follow(self, feed: Feed) -> bytes:
        """Return what the feed has told since the last time; wait for it, but not beyond the next ping."""
        feed.begin(self._seq)
        try:
            async with asyncio.timeout_at(self._ping_at):
                await self.listener.aevent.wait()
        except TimeoutError:
            return b""
        batches, is_closed = self._take()
        chunk = b"".join(self._tell(batch.frames) for batch in batches if batch.after <= self._seq)
        if is_closed:
            return chunk + self._part()
        self._is_behind = self._seq < feed.seq
        if not self._is_behind and not self._is_over and feed.passage:
            chunk += self._speech.go_on(feed.passage)
        return chunk

    def _take(self) -> tuple[list[Batch], bool]:
        """Empty the library's queue for this client. An overflow needs no flag: it leaves a gap in the numbers."""
        listener = self.listener
        with get_listener_manager().lock:
            items = listener.channel_items.get(self.channel, [])
            listener.channel_items = {}
            listener.overflow = False
            listener.aevent.clear()
        return [item.data for item in items], bool(listener.error)

    def _tell(self, frames: tuple[Frame, ...] | list[Frame]) -> bytes:
        parts = []
        for frame in frames:
            if frame.seq > self._seq:
                if frame.ends_answer:
                    parts.append(self._speech.end(frame.ends_answer))
                parts.append(frame.body)
                self._seq = frame.seq
            self._is_over = self._is_over or frame.is_last
        return b"".join(parts)

    def _part(self) -> bytes:
        self._is_over = True
        return encode("gone", {**self._about, "ts": now()})

    def _ping_if_due(self) -> bytes:
        if self._is_over or _clock() < self._ping_at:
            return b""
        self._ping_at = _clock() + PING
        return encode("ping", {"ts": now()})


class Speech:
    """What one client has been given of the answer that is being written."""

    def __init__(self) -> None:
        self._key = (0, 0)
        self._said = ""
        self._index = 0
        self._ended = (0, 0)

    def go_on(self, passage: Passage) -> bytes:
        """Return the rest of the passage; from its start if it is another one, or not what it was any more."""
        if passage.key <= self._ended:
            return b""
        if passage.key != self._key or not passage.text.startswith(self._said):
            self._key, self._said, self._index = passage.key, "", 0
        offset = len(self._said)
        if offset == len(passage.text):
            return b""
        piece = passage.piece(offset=offset, index=self._index)
        self._said = passage.text
        self._index += 1
        return piece

    def end(self, passage: Passage) -> bytes:
        """Return what is missing of the whole answer; nothing of it is said after that."""
        rest = self.go_on(passage)
        self._ended = max(self._ended, passage.key)
        self._said = ""
        return rest


async def _release_connection() -> None:
    """Give back the connection of the request's own thread."""
    await sync_to_async(connections.close_all)()


def _clock() -> float:
    return asyncio.get_running_loop().time()


class Listener(LibraryListener):  # type: ignore[misc]
    """A listener that is told in its own loop alone: feeds and rounds live there. The library's writes to a pipe for each."""

    def wake_threadsafe(self) -> None:
        self.aevent.set()


def _listener(channel: str, subscriber: Hashable) -> Listener:
    listener = Listener()
    listener.assign_loop()
    listener.user_id = subscriber
    listener.channels = {channel}
    return listener


def _request(channel: str, subscriber: Hashable) -> EventRequest:
    """A request of the library's that never saw the HTTP request: no parameter of the client's means anything to it."""
    request = EventRequest()
    request.channels = {channel}
    request.is_next = False
    request.user = subscriber
    return request
