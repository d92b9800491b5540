"""A team from nothing: made on the pages of an empty organisation, set to work, watched, allowed one call."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.roles import Role
from runs.llm import scripted
from runs.tools import registry
from runs.tools.registry import ToolContext
from tests.browser.conftest import Visit
from tests.conftest import Cast, Person, admit
from tests.teams.rosters import make_team

pytestmark = pytest.mark.browser
Work = Callable[[], None]
SOON = 30_000  # milliseconds


def script(*steps: dict[str, Any]) -> str:
    """The model of a role, as the form takes it."""
    return "scripted/" + json.dumps(steps, separators=(",", ":"))


def calls(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


MEMBERS = {
    "Scout": script(calls("post_evidence", text="Berth 4 is free", source="log.md:3"), {"text": "Berth 4 is free."}),
    "Clerk": script(calls("send_mail", to="master@quay", text="Berth 4?"), {"text": "She agrees."}),
    "Pilot": script({"text": "The ship goes to berth 4."}),
}


@pytest.fixture
def greta(committed: Cast) -> Person:
    """The owner of an organisation with nothing in it."""
    mark = random_text(6).lower()
    return admit(f"greta-{mark}", people.create_organization(f"quay-{mark}"), Role.OWNER)


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


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody asked for one."""
    if folder := os.environ.get("OPENINTERN_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def make_on_pages(page: Page) -> None:
    """Make three roles and a group of them, as an admin does, and stay on the group's page."""
    page.get_by_role("link", name="Teams").click()
    expect(page.get_by_text("No groups yet")).to_be_visible()
    for name, model in MEMBERS.items():
        page.goto("/orchestrator/roles/new")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Prompt", exact=True).fill(f"You are the {name} of a harbour.")
        page.get_by_label("Model", exact=True).fill(model)
        page.get_by_label("Leads a team").set_checked(name == "Pilot")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.goto("/orchestrator/groups/new")
    page.get_by_label("Name", exact=True).fill("Harbour desk")
    page.get_by_role("button", name="Save").click()
    for number, name in enumerate(MEMBERS, 1):
        page.get_by_label("Role", exact=True).select_option(label=name)
        page.get_by_role("button", name="Take in").click()
        expect(page.locator(".team-member")).to_have_count(number)
    expect(page.locator(".team-member.leads")).to_contain_text("Pilot")


def lane(page: Page, name: str) -> Locator:
    return page.locator(".lane").filter(has=page.get_by_role("heading", name=name, exact=True))


def test_a_team_is_made_set_to_work_watched_and_allowed_a_call(
    visit: Visit, greta: Person, work: Work, sent: list[str]
) -> None:
    page = visit.sign_in(greta)
    make_on_pages(page)
    look(page, "team-group")
    board = visit.context.new_page()
    board.goto(f"/blackboard/{page.url.rsplit('/', 1)[1]}")
    expect(board.get_by_text("Nothing is on this board yet.")).to_be_visible()

    page.get_by_label("Task", exact=True).fill("Where does the ship berth?")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".lane")).to_have_count(3)
    work()

    # the scout is done, the clerk's call waits, the pilot's turn is still to come: nobody reloads
    asked = page.locator(".approval")
    expect(asked).to_contain_text("master@quay", timeout=SOON)
    expect(asked).to_contain_text("Clerk")
    expect(lane(page, "Scout")).to_contain_text("Berth 4 is free")
    expect(lane(page, "Scout").locator(".status.completed")).to_be_visible()
    expect(lane(page, "Clerk").locator(".status.waiting")).to_be_visible()
    expect(lane(page, "Pilot")).to_contain_text("Its turn is still to come")
    expect(board.locator(".says-evidence")).to_contain_text("Berth 4 is free", timeout=SOON)
    look(page, "team-asks")
    assert sent == []

    asked.get_by_role("button", name="Approve", exact=True).click()
    expect(page.locator(".approval")).to_have_count(0)
    work()

    decided = page.locator(".decided")
    expect(decided).to_contain_text("The ship goes to berth 4.", timeout=SOON)
    assert sent == ["master@quay: Berth 4?"]
    expect(lane(page, "Pilot")).to_contain_text("after Scout, Clerk")
    decided.get_by_text("What it rests on").click()
    expect(decided.get_by_text("log.md:3")).to_be_visible()
    expect(board.locator(".says-decision")).to_contain_text("The ship goes to berth 4.", timeout=SOON)
    look(page, "team-decided")
    look(board, "team-board")

    decided.locator(".card .card-link").first.click()
    expect(page.locator("details.event[open]")).to_contain_text("message.evidence")
    page.get_by_role("link", name="Conversation").click()
    expect(page.get_by_text("Harbour desk · Pilot")).to_be_visible()
    expect(page.locator(".turn .prose").get_by_text("The ship goes to berth 4.")).to_be_visible()
    look(page, "team-chat")


def test_a_team_is_chosen_in_the_chat_and_each_member_is_heard_while_it_writes(
    visit: Visit, committed: Cast, work: Work
) -> None:
    held = f"scout-{random_text(6)}"
    scripts: dict[str, Any] = {
        "Scout": [{"text": "Berth four, I think.", "hold": held}],
        "Pilot": [{"text": "Berth 4."}],
    }
    team = make_team(committed.alice, lead="Pilot", scripts=scripts)
    page = visit.sign_in(committed.alice)

    page.get_by_label("Who").select_option(label=team.name)
    page.get_by_label("Your task").fill("Where does the ship berth?")
    page.keyboard.press("Enter")
    expect(page.locator("[data-live]")).to_be_visible()
    work()

    expect(page.locator("[data-speaker]")).to_contain_text("Scout", timeout=SOON)
    expect(page.locator("[data-text]")).to_have_text("Berth four, I think.", timeout=SOON)
    expect(page.locator(".turn [data-status]")).to_contain_text("Scout")
    scripted.release(held)

    answer = page.locator(".turn > .prose")
    expect(answer).to_have_text("Berth 4.", timeout=SOON)
    expect(page.locator(".turn-foot .who")).to_contain_text(team.name)
    expect(page.locator("[data-live]")).to_have_count(0)  # the server's drawing has taken the live one's place
    page.locator(".activity summary").click()
    expect(page.locator(".call.completed", has_text="Berth four, I think.")).to_be_visible()
    assert page.get_by_label("Who").input_value() == f"group:{team.pk}"
    look(page, "team-chat-chosen")
