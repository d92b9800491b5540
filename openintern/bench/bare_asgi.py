"""The floor of live streams: an ASGI application with one listening connection, and nothing else.

What is notified as "<topic> <data>" goes to everybody who asked for `/<topic>`. It is started by its file
(`uvicorn --app-dir … bare_asgi:application`), so it loads nothing of ours.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from typing import Any

import psycopg

CHANNEL = "bench_bare_asgi"

_waiting: dict[str, set[asyncio.Queue[bytes]]] = defaultdict(set)
_listening: set[asyncio.Task[None]] = set()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer `lifespan`, and every request with a stream."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    else:
        await _stream(scope["path"].strip("/"), receive, send)


async def _live(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            _listening.add(asyncio.create_task(_listen()))
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def _listen() -> None:
    async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
        await own.execute(f"LISTEN {CHANNEL}")
        async for note in own.notifies():
            topic, _, data = note.payload.partition(" ")
            event = f"event: told\ndata: {data}\n\n".encode()
            for told in _waiting[topic]:
                told.put_nowait(event)


async def _stream(topic: str, receive: Any, send: Any) -> None:
    told: asyncio.Queue[bytes] = asyncio.Queue()
    _waiting[topic].add(told)
    gone = asyncio.create_task(_gone(receive))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"event: connected\ndata: {}\n\n", "more_body": True})
    try:
        while not gone.done():
            coming = asyncio.create_task(told.get())
            await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                await send({"type": "http.response.body", "body": coming.result(), "more_body": True})
            else:
                coming.cancel()
    finally:
        _waiting[topic].discard(told)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
