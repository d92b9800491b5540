"""Bodies without end, as a server of the ASGI kind hands them over: in pieces, without a length."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application

from openintern.body_limit import BodyLimit
from tests.conftest import Cast

PIECE = b"a" * 64 * 1024


class Sender:
    """A client that never stops sending, and what it is answered."""

    def __init__(self, *, pieces: int) -> None:
        self.left = pieces
        self.taken = 0
        self.answered: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self.left:
            await asyncio.Event().wait()  # the client stays for its answer
        self.left -= 1
        self.taken += 1
        return {"type": "http.request", "body": PIECE, "more_body": self.left > 0}

    async def send(self, message: dict[str, Any]) -> None:
        self.answered.append(message)

    def post(self, application: Any, *headers: tuple[bytes, bytes], path: str = "/nothing") -> int:
        """Send it all; return the status of the answer."""
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "root_path": "", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), *headers],
        }  # fmt: skip
        asyncio.run(application(scope, self.receive, self.send))
        return int(self.answered[0]["status"])


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")]], ids=["without a length", "with a lie"])
def test_a_body_without_end_is_cut_off(headers: list[tuple[bytes, bytes]]) -> None:
    sender = Sender(pieces=10_000)

    status = sender.post(BodyLimit(get_asgi_application(), limit=10 * len(PIECE)), *headers)

    assert status == 413
    assert sender.taken == 11
    assert json.loads(sender.answered[1]["body"])["error"]["code"] == "TOO_LARGE"


def test_a_body_within_the_limit_is_passed_on() -> None:
    heard = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            heard.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 204, "headers": []})

    assert Sender(pieces=10).post(BodyLimit(application, limit=10 * len(PIECE))) == 204
    assert len(heard) == 10


def test_json_has_its_own_limit_also_without_a_length(committed: Cast) -> None:
    sender = Sender(pieces=20)

    status = sender.post(
        get_asgi_application(), (b"authorization", f"Bearer {committed.alice.api_key}".encode()), path="/api/runs"
    )

    assert len(PIECE) * 20 > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert status == 413


def test_the_web_process_has_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENINTERN_DATABASE_POOL", "OPENINTERN_PROCESS"):
        monkeypatch.setenv(name, "")  # it sets what isn't set, for its own process
    from openintern.asgi import application

    assert isinstance(application.application_mapping["http"], BodyLimit)
