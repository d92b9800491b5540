"""A client that follows a run's stream to its end, however often the line is cut, and keeps what it was told."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from runs.events import TERMINAL
from tests.faults.installation import HttpClient

PATIENCE = 120.0  # seconds


@dataclass
class Follower:
    """Reads in a thread. It hangs up after `at_most` events (drawn anew each time), and comes back where it was."""

    client: HttpClient
    run_id: str
    chance: random.Random
    at_most: int = 1_000_000
    events: list[dict[str, Any]] = field(default_factory=list)
    connections: int = 0
    refused: int = 0
    error: BaseException | None = None

    def start(self) -> Follower:
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def join(self, *, within: float = PATIENCE) -> None:
        """Wait for the end of the run, as the stream tells it."""
        self._thread.join(within)
        assert not self._thread.is_alive(), f"no end of {self.run_id} after {within} s: {len(self.events)} events"
        if self.error:
            raise self.error

    def _follow(self) -> None:
        ends_at = time.monotonic() + PATIENCE
        try:
            while not self._has_the_end():
                assert time.monotonic() < ends_at, "no end in sight"
                try:
                    self._connect()
                except httpx.HTTPError:
                    self.refused += 1
                    time.sleep(0.2)
            self._is_told_that_there_is_no_more()
        except BaseException as error:  # noqa: BLE001  `join` raises it in the test
            self.error = error

    def _has_the_end(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] in TERMINAL

    def _connect(self) -> None:
        self.connections += 1
        quota = self.chance.randint(1, self.at_most)
        with httpx.stream("GET", self._url, headers=self._headers(), timeout=30) as answer:
            if answer.status_code == 503:
                self.refused += 1
                time.sleep(0.2)
                return
            assert answer.status_code == 200, answer.status_code
            block: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                elif "id" in block:
                    self.events.append(json.loads(block["data"]))
                    quota -= 1
                if not line:
                    block = {}
                if quota <= 0:
                    return

    def _is_told_that_there_is_no_more(self) -> None:
        """Whoever has the end is answered 204, so that a browser doesn't come back for ever."""
        ends_at = time.monotonic() + PATIENCE
        while time.monotonic() < ends_at:
            try:
                answer = httpx.get(self._url, headers=self._headers(), timeout=30)
            except httpx.HTTPError:
                continue
            if answer.status_code != 503:
                assert answer.status_code == 204, answer.status_code
                return
            time.sleep(0.2)
        raise AssertionError("no answer after the end")

    @property
    def _url(self) -> str:
        return f"{self.client.url}/api/runs/{self.run_id}/stream"

    def _headers(self) -> dict[str, str]:
        last = {"Last-Event-ID": str(self.events[-1]["seq"])} if self.events else {}
        return self.client.headers | last
