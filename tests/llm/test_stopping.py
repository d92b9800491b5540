"""A run that is over stops its model call at once, whatever the provider does."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from runs.llm.ask import Patience, ask
from runs.stop import Reason, Stop, Stopped
from tests.llm.conftest import Asker

SILENCES: dict[str, dict[str, Any]] = {
    "before the first byte": {"hold": "h", "text": "Never."},
    "in the middle of the stream": {"hold": "h", "hold_after": 3, "text": "Never to be finished."},
    "in the middle, with pings": {"hold": "h", "hold_after": 3, "pings": True, "text": "Never to be finished."},
}


@pytest.mark.parametrize("silence", SILENCES)
def test_a_stop_is_noticed_while_the_provider_is_silent(asker: Asker, silence: str) -> None:
    asker.peer.script(SILENCES[silence])
    stopped_at: list[float] = []

    def cancel() -> None:
        asker.peer.wait_held("h")
        stopped_at.append(time.monotonic())
        asker.stop.set("cancelled")

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Stopped) as caught:
        asker.ask()
    took = time.monotonic() - stopped_at[0]
    canceller.join()

    assert caught.value.reason == "cancelled"
    assert took < 0.5
    # The connection is gone too: nobody pays for the rest of the answer, and no thread is left reading it.
    asker.peer.wait_outcome(0, "gone", timeout=5)
    _wait_for_no_reader()


def test_a_stop_ends_the_wait_before_a_retry(openai: Asker) -> None:
    openai.peer.script({"status": 429, "headers": {"Retry-After": "50"}})
    stop_soon = threading.Timer(0.3, openai.stop.set, ["timeout"])
    stop_soon.start()
    began = time.monotonic()

    with pytest.raises(Stopped) as caught:
        openai.ask(patience=Patience())

    assert caught.value.reason == "timeout"
    assert time.monotonic() - began < 20
    assert len(openai.peer.requests) == 1


def test_a_run_that_is_over_asks_nobody(openai: Asker) -> None:
    openai.stop.set("lost")

    with pytest.raises(Stopped):
        openai.ask()

    assert openai.peer.requests == []


def test_an_error_in_the_listener_ends_the_purchase(openai: Asker) -> None:
    openai.peer.script({"text": "Words upon words.", "hold": "h", "hold_after": 4})

    def break_down(text: str) -> None:
        raise LookupError(text)

    with pytest.raises(LookupError):
        ask(openai.request(), stop=openai.stop, on_text=break_down, on_retry=openai.retries.append)

    openai.peer.wait_outcome(0, "gone", timeout=5)


def test_the_first_reason_to_stop_wins() -> None:
    stop = Stop()
    reasons: list[Reason] = ["cancelled", "timeout", "lost", "shutdown"]
    start = threading.Barrier(len(reasons))
    first: list[Reason | None] = []

    def give(reason: Reason) -> None:
        start.wait()
        stop.set(reason)
        first.append(stop.reason)

    threads = [threading.Thread(target=give, args=[reason]) for reason in reasons]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(first)) == 1
    assert stop.wait(0)
    with pytest.raises(Stopped) as caught:
        stop.check()
    assert caught.value.reason == first[0]


def test_waiting_for_a_stop_ends_when_it_comes() -> None:
    stop = Stop()
    stop.check()
    assert not stop.wait(0.01)
    threading.Timer(0.05, stop.set, ["shutdown"]).start()

    assert stop.wait(30)


def _wait_for_no_reader() -> None:
    for thread in threading.enumerate():
        if thread.name == "llm-reader":
            thread.join(timeout=5)
            assert not thread.is_alive()
