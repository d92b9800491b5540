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


async def read(look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `look` returns, called in one of a few reader threads.

    The thread is in no organisation's schema when `look` starts, and its connection goes back when it ends.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(_look, partial(look, *args, **kwargs)))


def _look(look: Callable[[], T]) -> T:
    try:
        return look()
    finally:
        connections.close_all()
