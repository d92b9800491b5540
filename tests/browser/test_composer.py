"""Files and words for the agent, as a person gives them in the chat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from openintern.tenancy.scope import org_scope
from runs.llm import scripted
from runs.models import Run, Upload
from tests.browser.conftest import Visit
from tests.conftest import Cast, events_of, reload

pytestmark = pytest.mark.browser
TWO_STEPS = [
    {"text": "I look first.", "tool_calls": [{"name": "list_files", "arguments": {"path": "."}}], "hold": "first"},
    {"text": "Voilà.", "hold": "second"},
]


def composer(page: Page) -> Page:
    return page.get_by_role("textbox", name="Your task")


def test_an_agent_at_work_is_told_something_from_the_composer(
    visit: Visit, committed: Cast, start_run: Callable[..., Run], work: Callable[[], None]
) -> None:
    run = start_run(committed.alice, "Look around", session_key="s_told", steps=TWO_STEPS)
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_told")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    work()
    expect(page.get_by_role("button", name="Tell the agent")).to_be_enabled(timeout=20_000)

    composer(page).fill("Answer in <b>French</b>")
    page.keyboard.press("Enter")

    expect(page.locator(".saying")).to_have_text("alice Answer in <b>French</b>")
    expect(composer(page)).to_have_value("")
    assert reload(committed.alice, run).status == "running"
    scripted.release("first")
    expect(page.locator("[data-text]")).to_contain_text("Voilà", timeout=20_000)
    scripted.release("second")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    expect(page.locator(".saying")).to_have_text("alice Answer in <b>French</b>")
    assert [event.payload["message"] for event in events_of(committed.alice, run) if event.type == "user.injected"] == [
        "Answer in <b>French</b>"
    ]


def test_files_are_sent_as_they_are_chosen_and_go_with_the_task(
    visit: Visit, committed: Cast, start_run: Callable[..., Run], tmp_path: Path, work: Callable[[], None]
) -> None:
    start_run(committed.alice, "first", session_key="s_picked", llm_config={"provider": "mock"})
    names = ["报告 “一”.md", "naïve plan.txt", "empty.txt"]
    for name in names:
        (tmp_path / name).write_text("" if name == "empty.txt" else f"content of {name}", encoding="utf-8")
    work()
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_picked")
    expect(page.get_by_role("button", name="Send")).to_be_enabled(timeout=20_000)

    page.get_by_label("Attach files").set_input_files([tmp_path / name for name in names])

    chosen = page.get_by_role("list", name="Files for this task").get_by_role("listitem")
    expect(chosen).to_have_count(3)
    expect(chosen.filter(has_text="empty.txt").get_by_role("alert")).to_have_text("The file is empty")
    expect(page.locator(".sending")).to_have_count(0)
    page.get_by_role("button", name="Remove naïve plan.txt").click()
    composer(page).fill("Read it")
    page.keyboard.press("Enter")

    expect(page.get_by_role("list", name="Attached files").get_by_role("link")).to_have_text(["报告 “一”.md"])
    expect(chosen).to_have_count(0)
    with org_scope(committed.alice.org):
        assert not Upload.objects.filter(original_name="naïve plan.txt").exists()
        assert [file["original_name"] for file in Run.objects.order_by("-created_at")[0].config["attachments"]] == [
            "报告 “一”.md"
        ]


def test_a_file_that_is_too_large_says_so_and_is_not_sent(visit: Visit, committed: Cast) -> None:
    page = visit.sign_in(committed.alice)

    page.get_by_label("Attach files").set_input_files(
        {"name": "big.bin", "mimeType": "application/octet-stream", "buffer": b"x" * (8 * 1024 * 1024 + 1)}
    )

    expect(page.get_by_role("alert").filter(has_text="Too large")).to_be_visible()


def test_a_new_conversation_begins_with_its_files(visit: Visit, committed: Cast) -> None:
    page = visit.sign_in(committed.alice)

    page.get_by_label("Attach files").set_input_files(
        {"name": "plan.md", "mimeType": "text/markdown", "buffer": b"# Plan"}
    )
    expect(page.locator(".file small")).to_have_text("6 B")
    composer(page).fill("Read the plan")
    page.keyboard.press("Enter")

    page.wait_for_url("**/chat/s_*")
    expect(page.get_by_role("link", name="plan.md")).to_be_visible()
