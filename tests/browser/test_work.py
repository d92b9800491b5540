"""From the door to the trace, as a person does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from runs.llm import scripted
from runs.models import Run
from tests.browser.conftest import Visit
from tests.conftest import Cast, reload

pytestmark = pytest.mark.browser
StartRun = Callable[..., Run]
Work = Callable[[], None]

READS_THEN_ANSWERS: list[dict[str, Any]] = [
    {"text": "I look first.", "tool_calls": [{"name": "list_files", "arguments": {"path": "."}}]},
    {"text": "There is **nothing** here yet.", "hold": "answer"},
]


def test_a_task_is_given_answered_live_and_traced(visit: Visit, committed: Cast, work: Work) -> None:
    page = visit.sign_in(committed.alice)

    page.get_by_label("Your task").fill("Which files are there?")
    page.keyboard.press("Enter")
    page.wait_for_url("**/chat/s_*")
    expect(page.get_by_text("Which files are there?").first).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    work()

    turn = page.get_by_role("article")
    expect(turn.get_by_text("completed")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    turn.get_by_role("link", name="Trace").click()
    expect(page.get_by_text("Step 1")).to_be_visible()
    expect(page.get_by_role("heading", name="Which files are there?")).to_be_visible()


def test_words_and_calls_are_seen_while_the_model_still_speaks(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    run = start_run(committed.alice, "Look around", session_key="s_live_view", steps=READS_THEN_ANSWERS)
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_live_view")
    work()

    expect(page.locator(".call", has_text="list_files")).to_be_visible(timeout=20_000)
    expect(page.locator("[data-text]")).to_contain_text("There is **nothing** here yet.")
    assert reload(committed.alice, run).status == "running"
    scripted.release("answer")

    expect(page.locator(".prose strong", has_text="nothing")).to_be_visible()
    expect(page.locator("[data-live]")).to_have_count(0)


def test_somebody_who_comes_in_the_middle_sees_all_that_was_said(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    start_run(committed.alice, "Look around", session_key="s_joined", steps=READS_THEN_ANSWERS)
    work()
    scripted.wait_held("answer")
    page = visit.sign_in(committed.alice)

    page.goto("/chat/s_joined")

    expect(page.locator("[data-text]")).to_have_text("There is **nothing** here yet.")
    scripted.release("answer")
    expect(page.locator("[data-live]")).to_have_count(0)


def test_a_run_is_stopped_in_the_middle_of_its_answer(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    run = start_run(
        committed.alice, "Talk for ever", session_key="s_stop", steps=[{"text": "On and on", "hold": "never"}]
    )
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_stop")
    work()
    expect(page.locator("[data-text]")).to_contain_text("On and on", timeout=20_000)

    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("article").get_by_text("cancelled")).to_be_visible()
    assert reload(committed.alice, run).status == "cancelled"


def test_the_next_task_joins_the_conversation_and_again_repeats_one(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    start_run(committed.alice, "first", session_key="s_more")
    work()
    page = visit.sign_in(committed.alice)
    page.goto("/chat/s_more")
    expect(page.locator("[data-live]")).to_have_count(0, timeout=20_000)

    page.get_by_label("Your task").fill("second")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("article")).to_have_count(2)
    work()
    expect(page.locator("[data-live]")).to_have_count(0, timeout=20_000)
    page.get_by_role("article").first.get_by_role("button", name="Again").click()

    expect(page.get_by_role("article")).to_have_count(3)
    expect(page.get_by_role("article").last).to_contain_text("first")


def test_the_composer_keeps_what_an_input_method_is_still_composing(visit: Visit, committed: Cast) -> None:
    page = visit.sign_in(committed.alice)
    page.get_by_label("Your task").fill("nihao")

    page.get_by_label("Your task").dispatch_event("keydown", {"key": "Enter", "isComposing": True, "keyCode": 229})

    assert page.url == f"{visit.site}/"


def test_runs_are_filtered_found_and_cancelled(visit: Visit, committed: Cast, start_run: StartRun, work: Work) -> None:
    shed, lawn = (
        start_run(committed.alice, "paint the shed", session_key="s_shed"),
        start_run(committed.alice, "mow the lawn", session_key="s_lawn"),
    )
    page = visit.sign_in(committed.alice)
    page.get_by_role("link", name="Runs", exact=True).click()

    row = page.locator(f"#row-{shed.pk}")
    row.get_by_role("button", name="Cancel").click()
    expect(row.get_by_text("cancelled")).to_be_visible()
    page.get_by_label("Status").get_by_role("link", name="pending").click()
    expect(page.locator(f"#row-{shed.pk}")).to_have_count(0)
    expect(page.locator(f"#row-{lawn.pk}")).to_be_visible()
    page.get_by_label("Search tasks").press_sequentially("no such words")

    expect(page.get_by_text("No run fits")).to_be_visible()
    assert "q=no+such+words" in page.url.replace("%20", "+")
    expect(page.get_by_label("Search tasks")).to_be_focused()


def test_the_list_of_runs_follows_what_happens(visit: Visit, committed: Cast, start_run: StartRun, work: Work) -> None:
    run = start_run(committed.alice, "watch me", session_key="s_watch")
    page = visit.sign_in(committed.alice)
    page.goto("/runs?q=watch+me")
    expect(page.locator(f"#row-{run.pk}").get_by_text("pending")).to_be_visible()

    work()

    expect(page.locator(f"#row-{run.pk}").get_by_text("completed")).to_be_visible(timeout=20_000)


def test_a_trace_grows_while_the_run_goes_on_and_stays_unfolded(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    run = start_run(committed.alice, "Look around", session_key="s_grow", steps=READS_THEN_ANSWERS)
    page = visit.sign_in(committed.alice)
    page.goto(f"/trace/{run.pk}")
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    work()
    scripted.wait_held("answer")

    step = page.locator("details.fall.tool", has_text="list_files")
    step.locator("summary").click()
    expect(page.get_by_text("The model is thinking")).to_be_visible()
    scripted.release("answer")

    expect(page.get_by_text("There is nothing here yet.")).to_be_visible()
    expect(step.get_by_text("Arguments")).to_be_visible()


def test_a_trace_is_walked_by_keyboard(visit: Visit, committed: Cast, start_run: StartRun, work: Work) -> None:
    run = start_run(committed.alice, "x", session_key="s_keys")
    work()
    page = visit.sign_in(committed.alice)
    page.goto(f"/trace/{run.pk}")
    expect(page.get_by_text("completed").first).to_be_visible(timeout=20_000)

    page.locator("details.fall summary").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(page.locator("details.fall.model")).to_have_attribute("open", "")


def test_events_are_exported_by_type(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work, tmp_path: Path
) -> None:
    run = start_run(committed.alice, "x", session_key="s_export")
    work()
    page = visit.sign_in(committed.alice)
    page.goto(f"/trace/{run.pk}?view=events")
    expect(page.locator("details.event.run", has_text="run.completed")).to_be_visible(timeout=20_000)

    page.get_by_label("Type").select_option("llm.called")
    expect(page.locator("details.event")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    download.value.save_as(tmp_path / "events.json")

    assert [event["type"] for event in json.loads((tmp_path / "events.json").read_text())] == ["llm.called"]


def test_the_pages_speak_chinese(visit: Visit, committed: Cast) -> None:
    page = visit.sign_in(committed.alice)
    page.get_by_role("button", name="Account and settings").click()

    page.get_by_role("button", name="中文").click()

    expect(page.get_by_role("link", name="运行")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-hans"


def test_a_narrow_screen_has_everything_and_no_sideways_scrolling(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    run = start_run(committed.alice, "a_long_word_without_any_space_" * 20, session_key="s_narrow")
    work()
    page = visit.sign_in(committed.alice)
    page.set_viewport_size({"width": 390, "height": 800})

    for path in ("/", "/chat/s_narrow", "/runs", f"/trace/{run.pk}", f"/trace/{run.pk}?view=events", "/password"):
        page.goto(path)
        assert _overflow(page) <= 0, path
    page.get_by_role("button", name="Open navigation").click()

    expect(page.get_by_role("link", name="Runs", exact=True)).to_be_visible()


def _overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_everything_but_the_live_view_works_without_javascript(
    browser: Browser, site: str, committed: Cast, work: Work
) -> None:
    visit = Visit(browser, site, locale="en-GB", java_script_enabled=False)
    page = visit.sign_in(committed.alice)

    page.get_by_label("Your task").fill("by hand")
    page.get_by_role("button", name="Send").click()
    work()
    expect(page.get_by_role("article").get_by_text("completed")).to_be_visible(
        timeout=20_000
    )  # the page asks again by itself
    page.get_by_role("link", name="Trace").click()
    page.get_by_role("link", name="Events").click()

    expect(page.locator("details.event.run", has_text="run.completed")).to_be_visible()
    visit.context.close()
    assert visit.wrongs == []


def test_a_refresh_under_way_does_not_undo_a_search(
    visit: Visit, committed: Cast, start_run: StartRun, work: Work
) -> None:
    start_run(committed.alice, "unfinished", session_key="s_race")
    page = visit.sign_in(committed.alice)
    page.goto("/runs?status=pending")
    with page.expect_request("**/runs?status=pending"):
        page.route("**/runs?status=pending", lambda route: None)  # the refresh is on its way and gets no answer

    with page.expect_event("requestfailed"):
        page.get_by_label("Search tasks").press_sequentially("no such words")

    expect(page.get_by_text("No run fits")).to_be_visible()
