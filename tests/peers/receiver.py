"""A receiver of webhooks on loopback: it checks signatures as receivers do, keeps what it was told, and misbehaves on demand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass(frozen=True)
class Told:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed_by(self, secret: str) -> bool:
        """Check as the specification says, with nothing of ours."""
        signed = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        given = [each.partition(",")[2] for each in self.headers["webhook-signature"].split(" ")]
        return any(hmac.compare_digest(right, each) for each in given)


@dataclass
class Receiver:
    """`answer` is the status of the next answers, or a function that answers itself."""

    answer: int | Callable[[Told], int] = 200
    told: list[Told] = field(default_factory=list)
    url: str = ""

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://").partition("/")[0]

    def types(self) -> list[str]:
        return [each.json["type"] for each in self.told]


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    servers: list[_Server] = []

    def start(answer: int | Callable[[Told], int] = 200) -> Receiver:
        receiver = Receiver(answer)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told = Told({name.lower(): value for name, value in self.headers.items()}, body)
                receiver.told.append(told)
                status = receiver.answer(told) if callable(receiver.answer) else receiver.answer
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", receiver.url + "elsewhere")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        servers.append(_Server(("127.0.0.1", 0), Handler))
        receiver.url = f"http://127.0.0.1:{servers[-1].server_port}/hook"
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return receiver

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
