"""All that this process streams: its feeds, and the rounds that keep them honest."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from django_eventstream.views import get_listener_manager

from openintern.live.bell import Bell
from openintern.live.feed import Feed, Source
from openintern.live.reading import DATABASE_AWAY, read

if TYPE_CHECKING:
    from openintern.live.stream import Stream

logger = logging.getLogger(__name__)

ROUND: Final = 1.5  # seconds; a notification that got lost is made up for within one round
ROUNDS_PER_CHECK: Final = 4  # rights are checked again every 6 s, and how long that takes


class Hub:
    """Joins streams to feeds. Rings come from the bell; the rounds make up for those that got lost.

    Whatever the number of clients, a round is a query for each organisation that is being watched,
    and a check of rights is a few queries for each person who watches.
    """

    def __init__(self, *, notify_channel: str, source: Source) -> None:
        self.source = source
        self.bell = Bell(notify_channel)
        self._feeds: dict[str, Feed] = {}
        self._rounds: asyncio.Task[None] | None = None

    def join(self, stream: Stream) -> Feed:
        """Let the stream hear of its channel's news from now on."""
        feed = self._feeds.get(stream.channel)
        if feed is None:
            feed = self._feeds[stream.channel] = Feed(stream.channel, self.source)
            self.bell.wait_for(stream.channel, feed.ring)
        feed.streams.add(stream)
        get_listener_manager().add_listener(stream.listener)
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._make_rounds(), name="live rounds")
        return feed

    def leave(self, stream: Stream) -> None:
        """Forget the stream; the last one of a channel ends its feed, the last of all the hub's own work."""
        get_listener_manager().remove_listener(stream.listener)
        feed = self._feeds[stream.channel]
        feed.streams.discard(stream)
        if feed.streams:
            return
        feed.stop()
        del self._feeds[stream.channel]
        self.bell.forget(stream.channel, feed.ring)
        if not self._feeds and self._rounds is not None:
            self._rounds.cancel()
            self._rounds = None

    async def _make_rounds(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(ROUND)
            number += 1
            try:
                await self._ring_who_missed_something()
                if number % ROUNDS_PER_CHECK == 0:
                    await self._check_rights()
            except DATABASE_AWAY as error:
                logger.warning("live: round skipped (%s)", type(error).__name__)
            except Exception:
                # without rounds a lost notification or a lost right would go unnoticed
                logger.exception("live: round failed")

    async def _ring_who_missed_something(self) -> None:
        positions = {feed.channel: feed.position for feed in self._feeds.values() if feed.has_begun}
        if not positions:
            return
        for channel in await read(self.source.moved, positions):
            if feed := self._feeds.get(channel):
                feed.ring()

    async def _check_rights(self) -> None:
        channels: dict[Hashable, set[str]] = defaultdict(set)
        for feed in self._feeds.values():
            for stream in feed.streams:
                channels[stream.subscriber].add(feed.channel)
        for subscriber, followed in channels.items():
            for channel in followed - set(await read(self.source.readable, subscriber, followed)):
                get_listener_manager().kick(subscriber, channel)
