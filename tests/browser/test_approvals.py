"""A person approves a call where the run is watched, and another in the inbox."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from runs.models import Run
from runs.tools import registry
from runs.tools.registry import ToolContext
from tests.browser.conftest import Visit
from tests.conftest import Cast, reload

pytestmark = pytest.mark.browser
StartRun = Callable[..., Run]
Work = Callable[[], None]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a high-risk tool has sent."""
    texts: list[str] = []

    def send_mail(context: ToolContext, to: str, text: str) -> dict[str, Any]:
        """Send a letter."""
        texts.append(f"{to}: {text}")
        return {"sent": True}

    made = registry.build(send_mail, risk="high", mutating=True, recovery="unsure")
    monkeypatch.setitem(registry._registered, made.name, made)
    return texts


def ask(start_run: StartRun, committed: Cast, session: str) -> Run:
    letter = {"to": "board@example.org", "text": "The figures for March are ready."}
    steps = [
        {"text": "I’ll write to the board now.", "tool_calls": [{"name": "send_mail", "arguments": letter}]},
        {"text": "The board has been told."},
    ]
    return start_run(committed.alice, "Tell the board that the figures are ready", session_key=session, steps=steps)


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody asked for one."""
    if folder := os.environ.get("OPENINTERN_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_a_call_is_approved_in_the_chat_where_it_is_watched(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work, sent: list[str]
) -> None:
    run = ask(start_run, committed, "s_ask_chat")
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_ask_chat")
    work()
    card = page.locator(".approval")
    expect(card.get_by_text("board@example.org").first).to_be_visible(timeout=20_000)
    look(page, "approval-chat")
    assert sent == []

    card.get_by_role("button", name="Approve", exact=True).click()
    expect(card).to_have_count(0)
    work()

    expect(page.get_by_text("The board has been told.")).to_be_visible(timeout=20_000)
    assert sent == ["board@example.org: The figures for March are ready."]
    assert reload(committed.alice, run).status == "completed"


def test_the_inbox_counts_shows_and_decides(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work, sent: list[str]
) -> None:
    first, second = ask(start_run, committed, "s_ask_1"), ask(start_run, committed, "s_ask_2")
    work()
    page = visit.sign_in(committed.alice)
    expect(page.locator(".nav .badge")).to_have_text("2", timeout=20_000)
    page.get_by_role("link", name="Approvals").click()
    expect(page.locator(".approval")).to_have_count(2)
    look(page, "approvals")

    changed = page.locator(".approval").first
    changed.get_by_text("Change the arguments").click()
    changed.get_by_label("Arguments (JSON)").fill('{"to": "alice@example.org", "text": "A trial."}')
    changed.get_by_role("button", name="Approve for this run").click()
    page.locator(".approval").get_by_role("button", name="Reject").click()

    expect(page.get_by_text("Nothing waits for a decision.")).to_be_visible()
    look(page, "approvals-decided")
    work()
    page.goto(f"/trace/{first.pk}")
    expect(page.get_by_text("completed").first).to_be_visible(timeout=20_000)
    look(page, "approval-trace")
    assert sent == ["alice@example.org: A trial."]
    assert second.pk != first.pk


def test_the_number_beside_the_page_and_the_page_itself_hear_of_a_question_at_once(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work, sent: list[str]
) -> None:
    page = visit.sign_in(committed.alice)
    page.clock.install()  # so that what the page does by the clock can't be what brings it
    with page.expect_websocket():
        page.goto("/approvals")
    expect(page.get_by_text("Nothing waits for a decision.")).to_be_visible()
    ask(start_run, committed, "s_ask_socket")
    work()

    page.clock.run_for(1000)
    expect(page.locator(".nav-count .badge")).to_have_text("1", timeout=20_000)
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
