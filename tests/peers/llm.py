"""A model provider on loopback that holds, cuts, drips and refuses on request.

It speaks the streaming formats of OpenAI (`/v1/chat/completions`, `/v1/responses`), Anthropic (`/v1/messages`), Gemini
(`/v1beta/models/<model>:streamGenerateContent`) and Ollama (`/api/chat`). In a test: `with llm_peer() as peer`. For other processes:
`python -m tests.peers.llm --port N` and `PeerControl("http://127.0.0.1:N")`.

A script is a list of steps, one for each request; the last step of a script repeats. With `by_results` a request gets
the step that belongs to the number of tool results it shows: one that is made again gets the same answer. A step is a dict:

    text, pieces, tool_calls, usage, finish   the answer (see llm_formats)
    status, headers, body                     answer with this HTTP status instead
    hold: NAME                                wait for release(NAME) before the first byte
    hold_after: N                             with `hold`: send N events first
    pings: True                               while holding, send `: ping` lines
    drip: SECONDS                             pause before each event
    cut: N, ending: clean|close|reset         stop after N bytes; N may be negative, counted from the end
    raw: TEXT                                 this body, whatever it is

A request takes the script whose `marker` occurs last in its body (before it stand earlier tasks of the conversation), else
the one without a marker.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.peers import llm_formats

Step = dict[str, Any]
MARKER = re.compile(r"marker:[\w-]+")
RESULT = re.compile(r'"role": "tool"|"type": "function_call_output"')  # in OpenAI's formats


@dataclass
class LoggedRequest:
    """A request as it arrived; `markers` are the words `marker:…` found anywhere in its body."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    markers: list[str]
    at: float
    sent: int = 0
    outcome: str = "open"


@dataclass
class Script:
    """The steps for requests that carry `marker` (any request, when it is empty)."""

    marker: str
    steps: list[Step]
    by_results: bool = False
    taken: int = 0

    def take(self, request: str) -> Step:
        number = len(RESULT.findall(request)) if self.by_results else self.taken
        self.taken += 1
        return self.steps[min(number, len(self.steps) - 1)]


@dataclass
class Peer:
    """What the server knows; every method may be called from any thread."""

    url: str = ""
    requests: list[LoggedRequest] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    holding: list[str] = field(default_factory=list)
    released: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def script(self, *steps: Step, marker: str = "", by_results: bool = False) -> None:
        """Answer the next requests (with `marker`) by `steps`; replaces an earlier script of that marker."""
        with self.changed:
            self.scripts = [script for script in self.scripts if script.marker != marker]
            self.scripts.append(Script(marker, list(steps), by_results))

    def release(self, name: str) -> None:
        """Let go what is held, or will be held, under `name`."""
        with self.changed:
            self.released.add(name)
            self.changed.notify_all()

    def wait_held(self, name: str, *, timeout: float = 30) -> None:
        """Return once a request is held under `name`."""
        self._wait(lambda: name in self.holding, timeout, f"nothing was held under {name!r}")

    def wait_requests(self, count: int, *, timeout: float = 30) -> list[LoggedRequest]:
        """Return the log once it holds `count` requests."""
        self._wait(lambda: len(self.requests) >= count, timeout, f"fewer than {count} requests arrived")
        return list(self.requests)

    def wait_outcome(self, number: int, outcome: str, *, timeout: float = 30) -> None:
        """Return once request `number` (from 0) ended as `outcome`: sent, cut, gone."""
        self._wait(lambda: self.requests[number].outcome == outcome, timeout, f"request {number} not {outcome}")

    def reset(self) -> None:
        """Forget scripts and log; what is held stays held."""
        with self.changed:
            self.requests.clear()
            self.scripts.clear()
            self.released.clear()

    def arrive(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[LoggedRequest, Step]:
        """Log a request and choose its step."""
        text = json.dumps(body, ensure_ascii=False)
        with self.changed:
            entry = LoggedRequest(len(self.requests), path, headers, body, MARKER.findall(text), time.time())
            self.requests.append(entry)
            fitting = [script for script in self.scripts if script.marker and script.marker in text]
            fitting.sort(key=lambda script: -text.rindex(script.marker))
            fitting += [script for script in self.scripts if not script.marker]
            step = fitting[0].take(text) if fitting else {"text": "No script."}
            self.changed.notify_all()
        return entry, step

    def finish(self, entry: LoggedRequest, outcome: str) -> None:
        with self.changed:
            entry.outcome = outcome
            self.changed.notify_all()

    def hold(self, name: str, *, seconds: float) -> bool:
        """Wait up to `seconds` for the release of `name`; True once it came."""
        with self.changed:
            if name not in self.holding:
                self.holding.append(name)
                self.changed.notify_all()
            freed = self.changed.wait_for(lambda: name in self.released, seconds)
            if freed:
                self.holding.remove(name)
            return freed

    def _wait(self, claim: Any, timeout: float, complaint: str) -> None:
        with self.changed:
            if not self.changed.wait_for(claim, timeout):
                raise AssertionError(f"{complaint} within {timeout} s")


class Cut(Exception):
    """The step said to stop here."""


class PeerHandler(BaseHTTPRequestHandler):
    """One connection of the peer."""

    protocol_version = "HTTP/1.1"
    peer: Peer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the log that counts is `Peer.requests`."""

    def do_GET(self) -> None:
        if self.path == "/peer/log":
            with self.peer.changed:
                log = [asdict(entry) for entry in self.peer.requests]
                held = list(self.peer.holding)
            self._reply(200, {"requests": log, "holding": held})
        else:
            self._reply(404, {"error": {"message": "no such page"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path.startswith("/peer/"):
            self._control(body)
            return
        if self.path == "/api/show":  # litellm asks Ollama about a model now and then, in a thread of its own
            self._reply(404, {"error": "model not found"})
            return
        entry, step = self.peer.arrive(self.path, dict(self.headers.items()), body)
        try:
            self.peer.finish(entry, self._answer(entry, step))
        except Cut:
            self.peer.finish(entry, "cut")
        except OSError:
            self.close_connection = True
            self.peer.finish(entry, "gone")

    def _control(self, body: dict[str, Any]) -> None:
        match self.path.removeprefix("/peer/"):
            case "script":
                self.peer.script(*body["steps"], marker=body.get("marker", ""))
            case "release":
                self.peer.release(body["name"])
            case "reset":
                self.peer.reset()
            case _:
                self._reply(404, {"error": {"message": "no such control"}})
                return
        self._reply(200, {})

    def _answer(self, entry: LoggedRequest, step: Step) -> str:
        events = self._events(entry, step)
        if "hold" in step and "hold_after" not in step and not step.get("pings"):
            self._hold(step)
        if "status" in step:
            self._reply(step["status"], step.get("body", {"error": {"message": "as told"}}), step.get("headers", {}))
            return "sent"
        self._start_stream()
        limit = self._limit(step, events)
        for number, event in enumerate(events):
            if "hold" in step and number == step.get("hold_after", 0 if step.get("pings") else -1):
                self._hold(step)
            if "drip" in step:
                time.sleep(step["drip"])
            self._send(entry, event, limit, step)
        self.wfile.write(b"0\r\n\r\n")
        return "sent"

    def _events(self, entry: LoggedRequest, step: Step) -> list[bytes]:
        if "raw" in step:
            return [step["raw"].encode()]
        if entry.path.endswith("/chat/completions"):
            return llm_formats.openai(step, entry.body["model"])
        if entry.path.endswith("/responses"):
            return llm_formats.responses(step, entry.body["model"])
        if entry.path.endswith("/api/chat"):
            return llm_formats.ollama(step, entry.body["model"])
        if entry.path.endswith("/messages"):
            return llm_formats.anthropic(step, entry.body["model"])
        model = entry.path.partition("/models/")[2].partition(":")[0]
        return llm_formats.gemini(step, model)

    @staticmethod
    def _limit(step: Step, events: list[bytes]) -> int | None:
        if "cut" not in step:
            return None
        cut: int = step["cut"]
        return cut if cut >= 0 else sum(map(len, events)) + cut

    def _hold(self, step: Step) -> None:
        """Wait for the release, for as long as the client stays connected."""
        while not self.peer.hold(step["hold"], seconds=0.05):
            if step.get("pings"):
                self._chunk(b": ping\n\n")
            if self._client_left():
                raise BrokenPipeError

    def _client_left(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def _start_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _send(self, entry: LoggedRequest, event: bytes, limit: int | None, step: Step) -> None:
        room = len(event) if limit is None else min(len(event), limit - entry.sent)
        if room:
            self._chunk(event[:room])
        entry.sent += room
        if room < len(event):
            self._end_early(step.get("ending", "clean"))

    def _end_early(self, ending: str) -> None:
        self.close_connection = True
        if ending == "clean":
            self.wfile.write(b"0\r\n\r\n")
        if ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        raise Cut

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class PeerServer(ThreadingHTTPServer):
    """The listening socket; a client that hangs up is part of the game, not worth a traceback."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about broken connections."""


def serve(port: int = 0) -> tuple[PeerServer, Peer]:
    """A bound server, not yet serving, and its state."""
    peer = Peer()
    handler = type("BoundPeerHandler", (PeerHandler,), {"peer": peer})
    server = PeerServer(("127.0.0.1", port), handler)
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    return server, peer


@contextmanager
def llm_peer() -> Iterator[Peer]:
    """A peer that serves in a thread for the length of the block."""
    server, peer = serve()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class PeerControl:
    """The same, from another process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def script(self, *steps: Step, marker: str = "", by_results: bool = False) -> None:
        """As `Peer.script`."""
        self._post("script", {"steps": list(steps), "marker": marker})

    def release(self, name: str) -> None:
        """As `Peer.release`."""
        self._post("release", {"name": name})

    def reset(self) -> None:
        """As `Peer.reset`."""
        self._post("reset", {})

    def log(self) -> list[dict[str, Any]]:
        """The requests so far, as `LoggedRequest` has them."""
        log: list[dict[str, Any]] = self._state()["requests"]
        return log

    def wait_held(self, name: str, *, timeout: float = 30) -> None:
        """As `Peer.wait_held`."""
        deadline = time.monotonic() + timeout
        while name not in self._state()["holding"]:
            if time.monotonic() > deadline:
                raise AssertionError(f"nothing was held under {name!r} within {timeout} s")
            time.sleep(0.02)

    def _state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/peer/log", timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
            return state

    def _post(self, what: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{self.url}/peer/{what}", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()


def main() -> None:
    """Serve until killed; prints the address in one line."""
    parser = argparse.ArgumentParser(description="A model provider on loopback, for tests.")
    parser.add_argument("--port", type=int, default=0)
    server, peer = serve(parser.parse_args().port)
    print(peer.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
