"""The judge: holds what clients, the model's provider and the outside saw against what the runtime promises.

It reads REST, the pages, streams and the peers' logs, never the product's tables. The numbers are those of the
invariants in docs/faults.md. I10 and I11, which are about processes and time, are asserted where those are at hand.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from tests.faults.processes import wait_until
from tests.peers.effects import Outside
from tests.peers.llm import Peer

FINAL = {"completed", "failed", "cancelled"}
TERMINAL = {f"run.{status}" for status in FINAL}


class Client(Protocol):
    """A program of one person: Django's test client, or `installation.HttpClient`."""

    def get(self, path: str, query: dict[str, Any] | None = None, /) -> Any: ...
    def post(self, path: str, body: Any = None, /, *, content_type: str = ...) -> Any: ...


class Somebody(Protocol):
    def with_key(self) -> Client: ...


@dataclass
class History:
    """What one test did, and what came of it.

    `crashes` are the deaths that the test caused, by run. Where it strikes blindly (`is_blind`), a run counts as struck
    as often as its log says that it was taken up again.
    """

    person: Somebody
    peer: Peer
    outside: Outside
    is_blind: bool = False
    accepted: list[str] = field(default_factory=list)
    markers: dict[str, str] = field(default_factory=dict)
    crashes: Counter[str] = field(default_factory=Counter)
    transcripts: dict[str, list[list[dict[str, Any]]]] = field(default_factory=lambda: defaultdict(list))
    secrets: set[str] = field(default_factory=set)  # what no event may hold: keys, and what is another organisation's

    def start(
        self,
        text: str,
        *,
        session: str,
        marker: str = "",
        model: str = "gpt-5-mini",
        provider: str = "openai",
        group: str = "",
    ) -> str:
        """Start a run over REST; its task carries a marker (the session's key unless told) that the provider sees.

        With `group`, that team works on it.
        """
        marker = f"marker:{marker or session}"
        body = {
            "input": f"{text} {marker}",
            "session_key": f"s_{session}",
            "llm_config": {"provider": provider, "model": model},
            "group_id": group,
        }
        answer = self.person.with_key().post("/api/runs", body, content_type="application/json")
        assert answer.status_code == 201, answer.content
        run_id: str = answer.json()["run_id"]
        self.accepted.append(run_id)
        self.markers[run_id] = marker
        return run_id

    def watched(self, run_id: str, events: Iterable[dict[str, Any]]) -> None:
        """Take what one client of the run's stream saw, over all its connections."""
        self.transcripts[run_id].append(list(events))

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

    def settle(self, run_id: str) -> None:
        """Say the truth about every call in doubt, as a person does who has looked outside."""
        effects = self.person.with_key().get(f"/api/runs/{run_id}/effects").json()["effects"]
        for call in [effect["tool_call_id"] for effect in effects if effect["status"] == "in_doubt"]:
            has_struck = any((effect["run"], effect["call"]) == (run_id, call) for effect in self.outside.effects)
            body = {"outcome": "happened" if has_struck else "did_not_happen"}
            answer = self.person.with_key().post(
                f"/api/runs/{run_id}/effects/{call}/settle", body, content_type="application/json"
            )
            assert answer.status_code in {200, 404, 409}, answer.content  # somebody may have been first

    def wait_end(self, run_id: str, *, within: float = 60) -> dict[str, Any]:
        """Wait for the end, and settle on the way whatever comes to be in doubt."""

        def ended() -> dict[str, Any] | None:
            detail = self.read(run_id)
            if detail["status"] == "waiting":
                self.settle(run_id)
            return detail if detail["status"] in FINAL else None

        found: dict[str, Any] = wait_until(ended, within=within, what=f"the end of {run_id}")
        return found

    def judge(self) -> None:
        """Hold all that was accepted against the invariants; every run must have ended by now."""
        events = {run_id: self.events(run_id) for run_id in self.accepted}
        for run_id, log in events.items():
            self._is_whole(run_id, log)
            self._nothing_is_bought_twice(run_id, log)
            self._streams_told_the_same(run_id, log)
            self._holds_no_secret(run_id, log)
            self._results_are_true(run_id, log)
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
        assert sum(event["type"] == "run.started" for event in log) <= 1, "I2: begun twice"
        completed = [event["payload"]["stepNumber"] for event in log if event["type"] == "step.completed"]
        lost = {int(event["step_id"].removeprefix("step_")) for event in log if event["type"] == "member.failed"}
        steps = [step for step in range(1, (completed or [0])[-1] + 1) if step in completed or step not in lost]
        assert completed == steps, "I4: each step is completed once, in order, but for those that a member failed in"
        results = Counter(event["payload"]["tool_call_id"] for event in log if event["type"] == "tool.result")
        assert not [call for call, count in results.items() if count > 1], "I4: a result was stored twice"
        answers = Counter(event["payload"]["stepNumber"] for event in log if event["type"] == "llm.called")
        assert not [step for step, count in answers.items() if count > 1], "I6: a step has two answers"

    def _nothing_is_bought_twice(self, run_id: str, log: list[dict[str, Any]]) -> None:
        """I6: at most one purchase more than answers for each crash."""
        # before its own task a request shows those that the session had before
        bought = sum(request.markers[-1:] == [self.markers[run_id]] for request in self.peer.requests)
        recorded = sum(event["type"] == "llm.called" for event in log)
        given_up = sum(event["type"] in {"run.cancelled", "run.failed", "step.retried"} for event in log)
        crashes = self.crashes[run_id]
        if self.is_blind:
            crashes = max(crashes, sum(event["type"] == "run.resumed" for event in log))
        assert bought <= recorded + crashes + given_up, f"I6: {bought} bought, {recorded} recorded, {crashes} crashes"

    def _streams_told_the_same(self, run_id: str, log: list[dict[str, Any]]) -> None:
        """I3: whoever followed, over however many connections, was told the log: no gap, no repetition, no change."""
        for transcript in self.transcripts[run_id]:
            assert [event["seq"] for event in transcript] == [event["seq"] for event in log], f"I3: {run_id}"
            assert transcript == log, f"I3: {run_id} was told otherwise"

    def _holds_no_secret(self, run_id: str, log: list[dict[str, Any]]) -> None:
        """I8, I9."""
        text = json.dumps([log, self.read(run_id)], ensure_ascii=False)
        assert not [secret for secret in self.secrets if secret in text], f"I8, I9: {run_id}"

    def _results_are_true(self, run_id: str, log: list[dict[str, Any]]) -> None:
        """I5: a result without an error stands for one effect, and no effect is denied."""
        struck = {effect["call"] for effect in self.outside.effects if effect["run"] == run_id}
        results = [event["payload"] for event in log if event["type"] == "tool.result"]
        results = [result for result in results if result["toolName"].startswith("strike_")]
        for result in results:
            call = result["tool_call_id"]
            assert (call in struck) is not result["isError"], f"I5: {run_id} says otherwise of {call}: {result}"

    def _effects_are_not_repeated(self) -> None:
        """I5: counted outside."""
        unsure = Counter(effect["key"] for effect in self.outside.requests if effect["name"].startswith("unsure"))
        assert all(count == 1 for count in unsure.values()), f"I5: {unsure}"
        struck = Counter(effect["key"] for effect in self.outside.effects)
        assert all(count == 1 for count in struck.values()), f"I5: {struck}"
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
