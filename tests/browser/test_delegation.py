"""A task that a run passes on to a team, as a person watches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs.llm import scripted
from runs.models import Run
from teams import groups, members, roles
from tests.browser.conftest import Visit
from tests.browser.test_approvals import look, sent
from tests.conftest import Cast, Person

__all__ = ["sent"]

pytestmark = pytest.mark.browser


def make_team(person: Person, *steps: dict[str, Any]) -> str:
    """A team of one, who holds its breath before it answers unless it is told what to do; return the group's id."""
    name = random_text(8)
    scripted.play(name, *(steps or ({"text": "In the attic.", "hold": name},)))
    with org_scope(person.org):
        role = roles.create(person.scope, name=f"finder {name}", system_prompt="Find.", model=f"scripted/{name}")
        group = groups.create(person.scope, name=f"finders {name}")
        members.add(person.scope, group.pk, role_id=role.pk)
    return str(group.pk)


def test_a_run_that_waits_for_a_team_says_so_and_goes_on_live(
    visit: Visit, committed: Cast, start_run: Callable[..., Run], work: Callable[[], None]
) -> None:
    alice = committed.alice
    group = make_team(alice)
    call = {"name": "delegate_to_group", "arguments": {"group_id": group, "goal": "Where is it?"}}
    run = start_run(
        alice, "Find it", session_key="s_handed_on", steps=[{"tool_calls": [call]}, {"text": "It is **there**."}]
    )
    page = visit.sign_in(alice)
    page.goto("/chat/s_handed_on")
    work()

    banner = page.locator("[data-awaiting]")
    expect(banner).to_be_visible(timeout=20_000)
    expect(page.locator("[data-live] [data-status]")).to_have_text("waiting")
    with org_scope(alice.org):
        child, model = Run.objects.get(parent=run).pk, Run.objects.get(parent=run).config["model"]["model"]
    expect(banner.get_by_role("link")).to_have_attribute("href", f"/trace/{child}")

    scripted.release(model)

    expect(page.locator(".prose strong", has_text="there")).to_be_visible(timeout=20_000)
    expect(page.locator("[data-live]")).to_have_count(0)
    page.goto(f"/trace/{child}")
    page.get_by_role("link", name="Find it").click()
    expect(page.get_by_role("heading", name="Find it")).to_be_visible()
    expect(page.get_by_text("Work was given to:")).to_be_visible()


def test_what_the_team_asks_is_answered_in_the_conversation_that_waits_for_it(
    visit: Visit, committed: Cast, start_run: Callable[..., Run], work: Callable[[], None], sent: list[str]
) -> None:
    alice = committed.alice
    letter = {"name": "send_mail", "arguments": {"to": "ops@acme", "text": "Where is the key?"}}
    group = make_team(alice, {"tool_calls": [letter]}, {"text": "Ops has it."})
    call = {"name": "delegate_to_group", "arguments": {"group_id": group, "goal": "Ask whoever has the key"}}
    run = start_run(
        alice, "Find the key", session_key="s_asked_below", steps=[{"tool_calls": [call]}, {"text": "At Ops."}]
    )
    page = visit.sign_in(alice)
    page.goto(f"/trace/{run.pk}")
    watching = visit.context.new_page()
    watching.goto("/chat/s_asked_below")
    work()

    card = watching.locator(".approval")
    expect(card.get_by_text("ops@acme").first).to_be_visible(timeout=20_000)
    expect(page.locator(".approval")).to_be_visible(timeout=20_000)
    look(watching, "question-of-a-child-chat")
    look(page, "question-of-a-child-trace")
    with org_scope(alice.org):
        child = Run.objects.get(parent=run).pk
    expect(card.get_by_role("link", name="Ask whoever has the key")).to_have_attribute("href", f"/trace/{child}")
    card.get_by_role("button", name="Approve", exact=True).click()
    expect(card).to_have_count(0, timeout=20_000)
    work()

    expect(watching.get_by_text("At Ops.")).to_be_visible(timeout=20_000)
    expect(page.locator(".approval")).to_have_count(0, timeout=20_000)
    assert sent == ["ops@acme: Where is the key?"]
