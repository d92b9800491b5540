"""No request may send without end: Django would write all of it to the disk before it looked at it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any

from openintern.errors import OpenInternError
from openintern.refusals import error_body

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

#: Above what any view takes: an upload of 8 MiB. Views with lower limits hold to them themselves.
LARGEST_BODY = 9 * 1024 * 1024


class _Endless(Exception):
    """More came than may come."""


class BodyLimit:
    """An ASGI application that answers 413 in place of another one as soon as a body grows too large.

    `larger` names the few paths that take more. Whatever `Content-Length` says: what counts is what comes.
    """

    def __init__(
        self,
        application: Callable[[Any, Receive, Send], Awaitable[None]],
        *,
        limit: int = LARGEST_BODY,
        larger: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.application = application
        self.limit = limit
        self.larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and count."""
        received, limit = 0, self.larger.get(scope.get("path", ""), self.limit)

        async def count() -> Mapping[str, Any]:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message["body"])
                if received > limit:
                    raise _Endless
            return message

        try:
            await self.application(scope, count, send)
        except _Endless:
            await _refuse(send)


async def _refuse(send: Send) -> None:
    """Answer before the application has: it reads the body first of all."""
    error = OpenInternError("TOO_LARGE", "The request's body is too large")
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(error_body(error)).encode(), "more_body": False})
