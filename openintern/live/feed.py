"""One channel's news, read once for everybody in this process who follows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from django_eventstream.event import Event
from django_eventstream.views import get_listener_manager

from openintern.live.frames import Frame, Passage
from openintern.live.reading import DATABASE_AWAY, read

if TYPE_CHECKING:
    from openintern.live.stream import Stream

logger = logging.getLogger(__name__)

RETRY: Final = 1.0  # seconds to wait when the database is away


class Gone(Exception):
    """What was followed does not exist any more."""


class Position(NamedTuple):
    """How far a feed has read."""

    seq: int
    key: tuple[int, int] | None
    length: int


@dataclass(frozen=True)
class News:
    """What there is after a place in the log: frames, and the answer that is being written."""

    frames: tuple[Frame, ...]
    passage: Passage | None
    has_more: bool = False


@dataclass(frozen=True)
class Batch:
    """Frames that directly follow the event `after`. Shared by all who are told, never changed."""

    after: int
    frames: tuple[Frame, ...]


class Source(Protocol):
    """Where the news come from. Called in reader threads; each call enters the tenant for itself."""

    def extent(self, channel: str) -> tuple[int, bool]:
        """Return the last event's number and whether it is the last for ever. Raises Gone."""
        ...

    def news(self, channel: str, after: int) -> News:
        """Return the next events after `after`. Raises Gone."""
        ...

    def moved(self, positions: Mapping[str, Position]) -> Collection[str]:
        """Return the channels that have something beyond their position, or are gone."""
        ...

    def readable(self, subscriber: Hashable, channels: Collection[str]) -> Collection[str]:
        """Return those of the channels that the subscriber may read now."""
        ...


class Feed:
    """Follows one channel from where its first client caught up, and tells all of them.

    Events go through the library's listener queues, bounded for each client; a client whose queue is full
    reads the table for itself. The answer being written is not queued: clients look at `passage`, the newest
    state, so a slow one gets fewer and longer pieces.
    """

    def __init__(self, channel: str, source: Source) -> None:
        self.channel = channel
        self.seq = 0
        self.passage: Passage | None = None
        self.streams: set[Stream] = set()
        self._source = source
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        if self.passage is None:
            return Position(self.seq, None, 0)
        return Position(self.seq, self.passage.key, len(self.passage.text))

    @property
    def has_begun(self) -> bool:
        return self._task is not None

    def ring(self) -> None:
        """Look again soon."""
        self._rung.set()

    def begin(self, seq: int) -> None:
        """Follow from `seq`; without effect if the feed follows already."""
        if self._task is None:
            self.seq = seq
            self._rung.set()
            self._task = asyncio.create_task(self._follow(), name=f"feed {self.channel}")
            self._task.add_done_callback(self._report)

    def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            try:
                self._tell(await read(self._source.news, self.channel, self.seq))
            except DATABASE_AWAY as error:
                logger.warning("live: can't read %s (%s)", self.channel, type(error).__name__)
                await asyncio.sleep(RETRY)
                self._rung.set()

    def _tell(self, news: News) -> None:
        self.passage = _unfinished(news)
        if news.frames:
            batch = Batch(self.seq, news.frames)
            self.seq = news.frames[-1].seq
            get_listener_manager().add_to_queues(self.channel, Event(self.channel, "batch", batch, id=self.seq))
        if news.has_more:
            self._rung.set()
        self._wake()

    def _wake(self) -> None:
        for stream in self.streams:
            stream.wake()

    def _report(self, task: asyncio.Task[None]) -> None:
        """Close the streams rather than leave them waiting for a feed that has ended."""
        if task.cancelled():
            return
        if not isinstance(task.exception(), Gone):
            logger.error("live: feed of %s failed", self.channel, exc_info=task.exception())
        for stream in self.streams:
            stream.close()


def _unfinished(news: News) -> Passage | None:
    """The answer that is being written, unless these very events conclude it."""
    ended = {frame.ends_answer.key for frame in news.frames if frame.ends_answer}
    return None if news.passage and news.passage.key in ended else news.passage
