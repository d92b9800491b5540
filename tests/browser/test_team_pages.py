"""An owner of a new organisation installs a team, orders it with the keyboard, and reads the pages in any light and size."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect

from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.roles import Role as Standing
from openintern.tenancy.scope import org_scope
from runs import lifecycle
from runs.models import Run
from teams.models import Group
from tests.browser.conftest import Visit
from tests.browser.test_approvals import look
from tests.conftest import PASSWORD, Cast, Person, admit

pytestmark = pytest.mark.browser


@pytest.fixture
def dora(committed: Cast) -> Person:
    """Owner of an organisation in which nothing is yet."""
    org = people.create_organization(f"new{random_text(8).lower()}")
    return admit(f"dora{random_text(6).lower()}", org, Standing.OWNER)


def give_history(person: Person) -> None:
    """A fortnight of runs of the one group that there is."""
    with org_scope(person.org):
        group = Group.objects.get()
        for number in range(9):
            at = timezone.now() - timedelta(days=number * 2 % 13)
            run = lifecycle.create_run(
                person.scope,
                text=f"What do we know about harbour {number}?",
                group_id=group.pk,
                session_key=f"s_{random_text(8)}",
                llm_config={"provider": "mock"},
                at=timezone.now(),
            )
            lifecycle.cancel_run(person.scope, run.pk, at=timezone.now())
            status = Run.Status.FAILED if number % 4 == 3 else Run.Status.COMPLETED
            Run.objects.filter(pk=run.pk).update(
                status=status, created_at=at, started_at=at, ended_at=at + timedelta(seconds=20 + number * 7)
            )


def test_a_team_is_installed_ordered_by_keyboard_and_searched_for(visit: Visit, dora: Person) -> None:
    page = visit.sign_in(dora)
    page.get_by_role("link", name="Teams").click()
    expect(page.get_by_role("heading", name="No groups yet")).to_be_visible()
    look(page, "teams-empty")
    page.get_by_role("button", name="Install Research · 调研").click()
    expect(page.get_by_role("heading", name="Research team · 调研组")).to_be_visible()
    give_history(dora)
    page.reload()
    look(page, "team-group")

    page.get_by_role("button", name="Move Critic · 质疑者 up").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".team-member").nth(1)).to_contain_text("Critic · 质疑者")
    page.get_by_role("button", name="Shall lead Critic · 质疑者").click()
    expect(page.locator(".team-member.leads")).to_contain_text("Critic · 质疑者")
    page.get_by_role("link", name="Critic · 质疑者").first.click()
    expect(page.get_by_role("link", name="Research team · 调研组").last).to_be_visible()
    look(page, "team-role")
    page.goto("/orchestrator?tab=roles")
    page.get_by_label("Search names and descriptions").fill("Gathers")
    expect(page.get_by_role("link", name="Analyst · 分析员")).to_have_count(0)
    expect(page.get_by_role("link", name="Researcher · 研究员")).to_be_visible()
    expect(page).to_have_url(re.compile("orchestrator"))


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("dark", {"color_scheme": "dark", "locale": "en-GB"}, (1280, 900)),
        ("chinese-390", {"locale": "zh-CN"}, (390, 844)),
        ("dark-390", {"color_scheme": "dark", "locale": "en-GB"}, (390, 844)),
    ],
)
def test_the_pages_fit_every_light_and_size(
    browser: Browser, site: str, dora: Person, name: str, options: dict[str, str], size: tuple[int, int]
) -> None:
    visit = Visit(browser, site, viewport={"width": size[0], "height": size[1]}, **options)
    page = visit.page
    page.goto("/sign-in")
    page.locator("input[name=username]").fill(dora.user.username)
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}/")
    page.goto("/orchestrator")
    look(page, f"teams-{name}")
    page.locator(".team-templates button").nth(1).click()
    page.wait_for_url(re.compile("/orchestrator/groups/"))
    give_history(dora)

    for where in ("group", "role", "list", "form"):
        match where:
            case "group":
                page.reload()
            case "role":
                page.locator(".team-member a").first.click()
                page.wait_for_url(re.compile("/orchestrator/roles/"))
            case "list":
                page.goto("/orchestrator?tab=roles")
            case _:
                page.goto("/orchestrator/groups/new")
        look(page, f"team-{where}-{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), where

    visit.context.close()
    assert visit.wrongs == []
