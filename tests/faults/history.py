"""The judge: holds what clients, the model's provider and the outside saw against what the runtime promises.

It reads REST and the peers' logs, never the product's tables. The numbers are those of the invariants.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.conftest import Person
from tests.faults.processes import wait_until
from tests.peers.effects import Outside
from tests.peers.llm import Peer

FINAL = {"completed", "failed", "cancelled"}
TERMINAL = {f"run.{status}" for status in FINAL}


@dataclass
class History:
    """What one test did, and what came of it."""

    person: Person
    peer: Peer
    outside: Outside
    accepted: list[str] = field(default_factory=list)
    crashes: Counter[str] = field(default_factory=Counter)

    def start(
        self, text: str, *, session: str, marker: str = "", model: str = "gpt-5-mini", provider: str = "openai"
    ) -> str:
        """Start a run over REST; its task carries a marker (the session's key unless told) that the provider sees."""
        body = {
            "input": f"{text} marker:{marker or session}",
            "session_key": f"s_{session}",
            "llm_config": {"provider": provider, "model": model},
        }
        answer = self.person.with_key().post("/api/runs", body, content_type="application/json")
        assert answer.status_code == 201, answer.content
        run_id: str = answer.json()["run_id"]
        self.accepted.append(run_id)
        return run_id

    def read(self, run_id: str) -> dict[str, Any]:
        answer = self.person.with_key().get(f"/api/runs/{run_id}")
        assert answer.status_code == 200, answer.content
        detail: dict[str, Any] = answer.json()
        return detail

    def events(self, run_id: str) -> list[dict[str, Any]]:
        """All events, page by page."""
        found: list[dict[str, Any]] = []
        cursor = "0"
        while cursor:
            page = self.person.with_key().get(f"/api/runs/{run_id}/events", {"cursor": cursor, "limit": 50}).json()
            found += page["events"]
            cursor = page["next_cursor"]
        return found

    def types(self, run_id: str) -> list[str]:
        return [event["type"] for event in self.events(run_id)]

    def wait_status(self, run_id: str, *statuses: str, within: float = 40) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            detail = self.read(run_id)
            return detail if detail["status"] in statuses else None

        found: dict[str, Any] = wait_until(reached, within=within, what=f"{statuses} of {run_id}")
        return found

    def wait_event(self, run_id: str, type: str, *, within: float = 15) -> None:
        wait_until(lambda: type in self.types(run_id), within=within, what=type)

    def cancel(self, run_id: str) -> None:
        assert self.person.with_key().post(f"/api/runs/{run_id}/cancel").status_code == 200

    def judge(self) -> None:
        """Hold all that was accepted against the invariants; every run must have ended by now."""
        events = {run_id: self.events(run_id) for run_id in self.accepted}
        for run_id, log in events.items():
            self._is_whole(run_id, log)
            self._nothing_is_bought_twice(run_id, log)
        self._effects_are_not_repeated()
        self._lanes_are_serial(events)

    def _is_whole(self, run_id: str, log: list[dict[str, Any]]) -> None:
        """I1 to I4, and the fence of I7."""
        status = self.read(run_id)["status"]
        assert status in FINAL, f"I1: {run_id} is {status}"
        assert [event["type"] for event in log if event["type"] in TERMINAL] == [f"run.{status}"], "I2"
        assert log[-1]["type"] in TERMINAL, "I2: nothing after the end"
        assert [event["seq"] for event in log] == list(range(1, len(log) + 1)), "I3"
        attempts = [event["attempt"] for event in log]
        assert attempts == sorted(attempts), "I7: the fence went back"
        completed = [event["payload"]["stepNumber"] for event in log if event["type"] == "step.completed"]
        assert completed == list(range(1, len(completed) + 1)), "I4: each step is completed once, in order"
        results = Counter(event["payload"]["tool_call_id"] for event in log if event["type"] == "tool.result")
        assert not [call for call, count in results.items() if count > 1], "I4: a result was stored twice"

    def _nothing_is_bought_twice(self, run_id: str, log: list[dict[str, Any]]) -> None:
        """I6: at most one purchase more than answers for each crash."""
        marker = next(event["payload"]["input"] for event in log if event["type"] == "run.started").rpartition(" ")[2]
        bought = sum(marker in request.markers for request in self.peer.requests)
        recorded = sum(event["type"] == "llm.called" for event in log)
        given_up = sum(event["type"] in {"run.cancelled", "step.retried"} for event in log)
        assert bought <= recorded + self.crashes[run_id] + given_up, f"I6: {bought} bought, {recorded} recorded"

    def _effects_are_not_repeated(self) -> None:
        """I5: counted outside."""
        unsure = Counter(effect["key"] for effect in self.outside.requests if effect["name"].startswith("unsure"))
        assert all(count == 1 for count in unsure.values()), f"I5: {unsure}"
        keys = defaultdict(set)
        for request in self.outside.requests:
            keys[request["run"], request["call"]].add(request["key"])
        assert all(len(found) == 1 for found in keys.values()), f"I5: a call under two keys: {keys}"

    def _lanes_are_serial(self, events: dict[str, list[dict[str, Any]]]) -> None:
        """I7: in a session, one run begins after the one before has ended."""
        spans = defaultdict(list)
        for log in events.values():
            started = [event["ts"] for event in log if event["type"] == "run.started"]
            if started:
                spans[log[0]["session_key"]].append((started[0], log[-1]["ts"]))
        for lane in spans.values():
            lane.sort()
            assert all(end <= begin for (_, end), (begin, _) in pairwise(lane)), f"I7: {lane}"
