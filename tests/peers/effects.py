"""The outside world on loopback: it counts what tools do to it, and holds its answers on request.

    POST /effect {"name", "key", …}   the effect happens, once for each key, and is logged; then the answer
    POST /find   {"key"}              the answer that an effect of this key got, or {}

`hold("x", before=True)` lets requests named "x" wait before the effect happens, otherwise before they are answered.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LONGEST_HOLD = 100.0


@dataclass
class Outside:
    """What happened, in order; every method may be called from any thread."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    holds: dict[str, bool] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hold(self, name: str, *, before: bool) -> None:
        """Let the next requests of that name wait."""
        with self.changed:
            self.holds[name] = before

    def release(self, name: str) -> None:
        """Let those go that wait, and let none wait from now on."""
        with self.changed:
            self.holds.pop(name, None)
            self.changed.notify_all()

    def wait_request(self, name: str, *, timeout: float = 30) -> None:
        """Return once a request of that name is here."""
        with self.changed:
            if not self.changed.wait_for(lambda: any(one["name"] == name for one in self.requests), timeout):
                raise AssertionError(f"nobody asked for {name!r} within {timeout} s")

    def has_struck(self, name: str) -> bool:
        """Whether an effect of that name has happened."""
        with self.changed:
            return any(effect["name"] == name for effect in self.effects)

    def strike(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take a request: wait as told, and have the effect."""
        with self.changed:
            self.requests.append(body)
            self.changed.notify_all()
            self._wait(body["name"], before=True)
            if body["key"] not in {effect["key"] for effect in self.effects} or body["name"].startswith("unsure"):
                self.effects.append(body)
            self._wait(body["name"], before=False)
        return {"done": body["name"]}

    def find(self, body: dict[str, Any]) -> dict[str, Any]:
        """Say what became of a key."""
        with self.changed:
            return next(({"done": effect["name"]} for effect in self.effects if effect["key"] == body["key"]), {})

    def _wait(self, name: str, *, before: bool) -> None:
        self.changed.wait_for(lambda: self.holds.get(name) is not before, LONGEST_HOLD)


class OutsideHandler(BaseHTTPRequestHandler):
    outside: Outside

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the log that counts is `Outside.effects`."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.outside.strike(body) if self.path == "/effect" else self.outside.find(body)
        data = json.dumps(answer).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True  # whoever asked is dead


@contextmanager
def the_outside() -> Iterator[Outside]:
    """Serve in a thread for the length of the block."""
    outside = Outside()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (OutsideHandler,), {"outside": outside}))
    server.daemon_threads = True
    outside.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
