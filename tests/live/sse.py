"""A client that reads server-sent events as the standard says, and keeps them."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Sent:
    """One event as a browser would dispatch it."""

    event: str
    id: str | None
    data: dict[str, Any]
    at: float

    @property
    def type(self) -> str:
        return str(self.data.get("type", ""))


class Tap:
    """A stream being read in a thread. `is_closed` is set when the server has ended it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.sent: list[Sent] = []
        self._chunks: list[bytes] = []
        self.is_closed = False
        self._changed = threading.Condition()
        self._client = httpx.Client(timeout=60)
        self._response = self._client.send(self._client.build_request("GET", url, headers=headers), stream=True)
        self.status = self._response.status_code
        self.headers = self._response.headers
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, claim: Callable[[Tap], bool], *, seconds: float = 10) -> Tap:
        """Wait until `claim` is true of this tap; fail with what came instead."""
        with self._changed:
            assert self._changed.wait_for(lambda: claim(self), seconds), f"not within {seconds} s: {self.sent}"
        return self

    def to_the_end(self, *, seconds: float = 10) -> Tap:
        return self.wait_for(lambda tap: tap.is_closed, seconds=seconds)

    @property
    def raw(self) -> bytes:
        """All that came over the wire."""
        return b"".join(self._chunks)

    @property
    def logged(self) -> list[Sent]:
        """The events of the log: those that have a number."""
        return [sent for sent in self.sent if sent.id is not None]

    @property
    def seqs(self) -> list[int]:
        return [int(sent.id or 0) for sent in self.logged]

    @property
    def tokens(self) -> list[dict[str, Any]]:
        return [sent.data["payload"] for sent in self.sent if sent.type == "llm.token"]

    @property
    def said(self) -> str:
        """The text as a client puts it together: each piece goes to its offset."""
        text = ""
        for token in self.tokens:
            text = text[: token["offset"]] + token["token"]
        return text

    def close(self) -> None:
        """Hang up, also in the middle of a read."""
        with contextlib.suppress(OSError):
            self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._client.close()

    def _read(self) -> None:
        pending = b""
        try:
            for chunk in self._response.iter_raw():
                self._chunks.append(chunk)
                *blocks, pending = (pending + chunk).split(b"\n\n")
                with self._changed:
                    self.sent += [_parse(block.decode()) for block in blocks]
                    self._changed.notify_all()
        except (httpx.HTTPError, httpx.StreamError, OSError, RuntimeError):
            pass  # closed by the test, or cut by the server: `is_closed` says that it is over
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()


def _parse(block: str) -> Sent:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(": ")
        assert name in {"event", "id", "data"}, f"a line that is no field of ours: {line!r}"
        assert name not in fields, f"{name} twice in one event"
        fields[name] = value
    return Sent(fields["event"], fields.get("id"), json.loads(fields["data"]), time.monotonic())
