"""The one connection per process that hears of news."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from openintern.database import answered_within, own_connection_parameters

logger = logging.getLogger(__name__)

_HEARTBEAT: Final = 10.0  # seconds of silence after which the connection has to prove that it is alive
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Bell:
    """Rings whoever waits for a topic when PostgreSQL notifies `channel` with that topic as payload.

    The connection is its own, outside Django's pool, and there only while somebody waits. A ring says
    "look again", never what there is to see, so a ring too many is harmless. After each new connection
    everybody is rung, because nobody knows what was said while there was none.
    """

    def __init__(self, channel: str) -> None:
        self.is_listening = False
        self._channel = channel
        self._rings: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)
        self._listeners: dict[str, Callable[[str], None]] = {}
        self._task: asyncio.Task[None] | None = None

    def wait_for(self, topic: str, ring: Callable[[], None]) -> None:
        """Call `ring` in the running loop whenever `topic` is notified, until `forget(topic, ring)`."""
        self._rings[topic].add(ring)
        self._begin()

    def listen_below(self, prefix: str, hear: Callable[[str], None]) -> None:
        """Call `hear` with what follows "<prefix>:" in each topic that begins so; with "" when any may have been missed."""
        self._listeners[prefix] = hear
        self._begin()

    def forget(self, topic: str, ring: Callable[[], None]) -> None:
        """Ring this one no more for the topic; the last one to leave closes the connection."""
        self._rings[topic].discard(ring)
        if not self._rings[topic]:
            del self._rings[topic]
        self._end_if_alone()

    def forget_below(self, prefix: str) -> None:
        """Listen no more to what begins so."""
        self._listeners.pop(prefix, None)
        self._end_if_alone()

    def _end_if_alone(self) -> None:
        if not self._rings and not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    def _begin(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._listen_for_ever(), name="bell")

    async def _listen_for_ever(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                # a connection that was up deserves a quick second try, one that wasn't has to wait longer
                pause = _FIRST_PAUSE if self.is_listening else min(pause * 2, _LONGEST_PAUSE)
                logger.warning("live: listening connection lost (%s), again in %.1f s", type(error).__name__, pause)
            finally:
                self.is_listening = False
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        """Listen until the connection fails."""
        async with await _connect() as connection:
            with answered_within(_HEARTBEAT, connection):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            self.is_listening = True
            self._ring_everybody()
            while True:
                async for notice in connection.notifies(timeout=_HEARTBEAT):
                    self._ring(notice.payload)
                with answered_within(_HEARTBEAT, connection):  # a peer that vanished without a word never answers
                    await connection.execute("SELECT 1")

    def _ring(self, topic: str) -> None:
        for ring in list(self._rings.get(topic, ())):
            ring()
        prefix, _, rest = topic.partition(":")
        if hear := self._listeners.get(prefix):
            hear(rest)

    def _ring_everybody(self) -> None:
        for ring in {ring for rings in self._rings.values() for ring in rings}:
            ring()
        for hear in list(self._listeners.values()):
            hear("")


async def _connect() -> psycopg.AsyncConnection[TupleRow]:
    parameters = {**own_connection_parameters(), "application_name": "openintern-live"}
    return await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
