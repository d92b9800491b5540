"""Looking into the database from the event loop, without keeping a connection in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections

P = ParamSpec("P")
T = TypeVar("T")

#: The database can't be asked right now; it may be possible in a moment.
DATABASE_AWAY: Final = (OperationalError, InterfaceError)

_READERS: Final = 4  # as many connections as all streams of a process together ever hold
_threads = ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="live-reader")

_WRITERS: Final = 2  # whoever changes something may wait for a row's lock, and must hold up no reader by it
_writers = ThreadPoolExecutor(max_workers=_WRITERS, thread_name_prefix="live-writer")


async def read(look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `look` returns, called in one of a few reader threads.

    The thread is in no organisation's schema when `look` starts, and its connection goes back when it ends.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(_look, partial(look, *args, **kwargs)))


async def act(do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `do` returns, called in one of a few threads that may change things. Otherwise as `read`."""
    return await asyncio.get_running_loop().run_in_executor(_writers, partial(_look, partial(do, *args, **kwargs)))


def letting_go(do: Callable[[], T]) -> Callable[[], T]:
    """Return `do` for a thread of one's own: its connection goes back when it ends."""
    return partial(_look, do)


def _look(look: Callable[[], T]) -> T:
    try:
        return look()
    finally:
        connections.close_all()
