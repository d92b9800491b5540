"""What changes in an organisation, read once for everybody in this process who watches it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from typing import Final, Protocol

from openintern.live.bell import Bell
from openintern.live.feed import RETRY
from openintern.live.reading import DATABASE_AWAY, read

logger = logging.getLogger(__name__)

PAUSE: Final = 0.25  # seconds in which changes are gathered: an organisation costs at most four reads a second
CHECK: Final = 6.0  # seconds between two looks whether everybody may still watch
REMEMBERED: Final = 5000  # things of an organisation whose last state is known
MOST_AT_ONCE: Final = 500  # changes that are told one by one; beyond that everybody is told to look again


class Watcher(Protocol):
    """Somebody who is told of changes. Called in the event loop; never waits."""

    subscriber: Hashable

    def note(self, changes: Mapping[str, Hashable]) -> None:
        """Take the new state of things, by id."""
        ...

    def miss(self) -> None:
        """Hear that things may have changed that nobody can name."""
        ...

    def end(self) -> None:
        """Hear that one may not watch any more."""
        ...


class ChangeSource(Protocol):
    """Where the states come from. Called in reader threads; each call enters the tenant for itself."""

    def states(self, schema: str, ids: Collection[str]) -> Mapping[str, Hashable]:
        """Return the state of each thing that is there."""
        ...

    def visible(self, subscriber: Hashable, ids: Collection[str]) -> Collection[str]:
        """Return the ids of those that the subscriber may see now."""
        ...

    def holds(self, subscriber: Hashable) -> bool:
        """Whether the subscriber is still who they were."""
        ...


class Bulletin:
    """Watches one organisation for its watchers. Each thing that a run writes rings; only a new state is told.

    What isn't named `kind…` rings somebody else.
    """

    def __init__(self, schema: str, source: ChangeSource, kind: str) -> None:
        self.watchers: set[Watcher] = set()
        self._schema = schema
        self._source = source
        self._kind = kind
        self._known: OrderedDict[str, Hashable] = OrderedDict()
        self._rung: set[str] = set()
        self._has_missed = False
        self._something = asyncio.Event()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._check_rights())]

    def hear(self, changed_id: str) -> None:
        """Note that something about `changed_id` is new; "" if anything may be."""
        if changed_id and not changed_id.startswith(self._kind):
            return
        if changed_id and len(self._rung) < MOST_AT_ONCE:
            self._rung.add(changed_id)
        else:
            self._has_missed = True
        self._something.set()

    def stop(self) -> None:
        """Watch no longer."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self) -> None:
        while True:
            await self._something.wait()
            await asyncio.sleep(PAUSE)
            self._something.clear()
            rung, self._rung = self._rung, set()
            missed, self._has_missed = self._has_missed, False
            try:
                await self._tell(rung)
            except DATABASE_AWAY as error:
                logger.warning("live: can't read what changed (%s)", type(error).__name__)
                await asyncio.sleep(RETRY)
                self.hear("")
            except Exception:
                logger.exception("live: a bulletin failed")  # it is the outermost edge: nobody else would hear of it
                missed = True
            if missed:
                for watcher in list(self.watchers):
                    watcher.miss()

    async def _tell(self, rung: set[str]) -> None:
        states = await read(self._source.states, self._schema, rung) if rung else {}
        changes = {each: state for each, state in states.items() if self._known.get(each) != state}
        self._remember(changes)
        if not changes:
            return
        for subscriber in {watcher.subscriber for watcher in self.watchers}:
            seen = set(await read(self._source.visible, subscriber, changes))
            told = {each: state for each, state in changes.items() if each in seen}
            for watcher in [each for each in self.watchers if told and each.subscriber == subscriber]:
                watcher.note(told)

    def _remember(self, changes: Mapping[str, Hashable]) -> None:
        self._known |= changes
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _check_rights(self) -> None:
        while True:
            await asyncio.sleep(CHECK)
            for subscriber in {watcher.subscriber for watcher in self.watchers}:
                try:
                    is_over = not await read(self._source.holds, subscriber)
                except DATABASE_AWAY as error:
                    logger.warning("live: rights not checked (%s)", type(error).__name__)
                    break
                for watcher in [each for each in self.watchers if is_over and each.subscriber == subscriber]:
                    watcher.end()


class Bulletins:
    """The bulletins of this process, one for each organisation that somebody watches."""

    def __init__(self, bell: Bell, source: ChangeSource, *, kind: str) -> None:
        self._bell = bell
        self._source = source
        self._kind = kind
        self._bulletins: dict[str, Bulletin] = {}

    def join(self, watcher: Watcher, schema: str) -> None:
        """Tell the watcher of the organisation's changes from now on."""
        if schema not in self._bulletins:
            self._bulletins[schema] = Bulletin(schema, self._source, self._kind)
            self._bell.listen_below(schema, self._bulletins[schema].hear)
        self._bulletins[schema].watchers.add(watcher)

    def leave(self, watcher: Watcher, schema: str) -> None:
        """Forget the watcher; the last one of an organisation ends its bulletin."""
        bulletin = self._bulletins.get(schema)
        if bulletin is None:
            return
        bulletin.watchers.discard(watcher)
        if not bulletin.watchers:
            bulletin.stop()
            self._bell.forget_below(schema)
            del self._bulletins[schema]
