"""A person searches, reads, corrects and forgets memories: with the keyboard, and by clicking."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from memory.consolidation import passes
from memory.models import ChangeSet, Document, Memory, Passage, Shelf
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.scope import org_scope
from tests.browser.conftest import Visit
from tests.conftest import Cast

pytestmark = pytest.mark.browser


@pytest.fixture
def remembered(committed: Cast) -> Iterator[None]:
    """What Alice remembers."""
    with org_scope(committed.alice.org):
        for text in (
            "The ledger is backed up every night at 03:00 and kept for seven years.",
            "生产环境的部署回滚由值班工程师批准，先通知产品负责人。",
            "Alice prefers short answers with the figures first.",
        ):
            remember(
                owner=Owner.of_user(committed.alice.user),
                tier="core",
                text=text,
                origin=Origin(author=committed.alice.user, source_type="person"),
            )
    yield
    with org_scope(committed.alice.org):
        ChangeSet.objects.all().delete()
        Document.objects.all().delete()
        Passage.objects.all().delete()
        Memory.objects.all().delete()
        Shelf.objects.all().delete()


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody asked for one."""
    if folder := os.environ.get("OPENINTERN_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_the_search_answers_while_one_types_and_the_keys_lead_on(
    visit: Visit, committed: Cast, remembered: None
) -> None:
    page = visit.sign_in(committed.alice)
    page.get_by_role("link", name="Memory", exact=True).click()
    expect(page.locator(".memory-row")).to_have_count(3)
    look(page, "memory")
    page.wait_for_load_state()  # the page's scripts have run

    page.keyboard.press("/")
    expect(page.locator("#memory-words")).to_be_focused()
    page.keyboard.type("backup of the ledger")
    expect(page.locator("mark").first).to_have_text(re.compile("ledger|backed"), timeout=20_000)
    expect(page).to_have_url(re.compile("q=backup"))
    look(page, "memory-search")
    searches: list[str] = []
    page.on("request", lambda request: searches.append(request.url) if "/memory?" in request.url else None)
    page.locator("#memory-words").fill("部署回滚")
    expect(page.locator("mark").first).to_have_text("部署回滚", timeout=20_000)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".memory-text").first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#memory-words")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(page.locator(".memory-whole")).to_contain_text("值班工程师批准")
    assert len(searches) == 1, "leaving the field searched again, and drew the list anew under the reader's feet"


def test_a_filter_applies_at_once_and_keeps_the_words(visit: Visit, committed: Cast, remembered: None) -> None:
    page = visit.sign_in(committed.alice)
    page.goto("/memory?q=ledger")

    page.get_by_label("Whose").select_option("project")
    expect(page.get_by_text("Nothing remembered fits")).to_be_visible()
    page.get_by_label("Whose").select_option("user")
    expect(page.locator("mark").first).to_have_text("ledger")
    page.get_by_role("link", name="core").click()

    expect(page).to_have_url(re.compile("tier=core"))
    expect(page.locator("#memory-words")).to_have_value("ledger")


def test_a_memory_is_written_corrected_forgotten_and_brought_back(
    visit: Visit, committed: Cast, remembered: None
) -> None:
    page = visit.sign_in(committed.alice)
    page.goto("/memory")
    page.get_by_text("Remember something").click()
    page.get_by_label("What is to be remembered").fill("The office closes at six.")
    look(page, "memory-new")
    page.get_by_role("button", name="Remember", exact=True).click()
    expect(page.locator(".memory-whole")).to_have_text("The office closes at six.")

    page.get_by_text("Correct it").click()
    page.get_by_label("What is to be remembered").fill("The office closes at seven.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".memory-whole")).to_have_text("The office closes at seven.")
    look(page, "memory-item")
    page.get_by_text("Forget it", exact=True).click()
    page.get_by_role("button", name="Yes, forget it").click()
    expect(page.get_by_text("No search finds it.")).to_be_visible()
    look(page, "memory-forgotten")
    page.get_by_role("button", name="Bring it back").click()

    expect(page.get_by_text("It is remembered again.")).to_be_visible()
    page.goto("/memory?q=office")
    expect(page.locator("mark").first).to_have_text("office")


def test_duplicates_are_merged_and_the_merge_is_rolled_back(visit: Visit, committed: Cast, remembered: None) -> None:
    alice = committed.alice
    mine, said = Owner.of_user(alice.user), Origin(author=alice.user)
    with org_scope(alice.org):
        text = "The ledger gets backed up every night at 03:00 and kept for seven years."
        remember(owner=mine, tier="core", text=text, origin=said)
        passes.propose(mine, org=alice.org, at=timezone.now())
    page = visit.sign_in(alice)
    page.goto("/memory")
    expect(page.locator(".page-head .badge")).to_have_text("1")

    page.get_by_role("link", name="Tidying up").click()
    expect(page.get_by_text("Merge 2 memories into one")).to_be_visible()
    look(page, "memory-changes")
    page.get_by_role("button", name="Accept those ticked").click()
    expect(page.get_by_text("Nothing to tidy up")).to_be_visible()
    page.get_by_role("link", name="Decided").click()
    look(page, "memory-decided")
    page.get_by_role("button", name="Roll back").click()

    expect(page.get_by_text("Rolled back: everything is as it was.")).to_be_visible()
    page.goto("/memory?q=ledger")
    expect(page.locator(".memory-row")).to_have_count(2)


@pytest.mark.parametrize("look_of_it", ["narrow", "dark"])
def test_it_fits_a_phone_and_the_night(visit: Visit, committed: Cast, remembered: None, look_of_it: str) -> None:
    page = visit.sign_in(committed.alice)
    if look_of_it == "narrow":
        page.set_viewport_size({"width": 390, "height": 800})
    else:
        page.emulate_media(color_scheme="dark")

    page.goto("/memory?q=ledger")
    page.get_by_text("Why it is here").first.click()
    look(page, f"memory-{look_of_it}")
    page.locator(".memory-text").first.click()
    look(page, f"memory-item-{look_of_it}")
    page.goto("/memory/changes")
    look(page, f"memory-changes-{look_of_it}")

    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
