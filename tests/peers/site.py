"""A web site on loopback that answers as a test wants, and the operator's leave to go there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings


class Site(ThreadingHTTPServer):
    """A site on loopback that answers as a test wants, and keeps what it was asked."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                answer(self)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], Site]]:
    sites: list[Site] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> Site:
        sites.append(Site(answer))
        threading.Thread(target=sites[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return sites[-1]

    yield start
    for site in sites:
        site.shutdown()
        site.server_close()


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def let_through(*places: str) -> None:
        server = replace(settings.CONFIG.server, outgoing_allow=places)
        monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))

    return let_through


def saying(body: bytes, *, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer
