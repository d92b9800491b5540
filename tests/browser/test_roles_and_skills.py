"""An admin writes a skill, gives a task in a role, and sees in the trace where text from outside came in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from openintern.tenancy.scope import org_scope
from runs.models import Run
from teams import roles
from teams.models import Role, Skill
from tests.browser.conftest import Visit
from tests.browser.test_approvals import look
from tests.conftest import Cast

pytestmark = pytest.mark.browser


@pytest.fixture
def clerk(committed: Cast) -> Role:
    with org_scope(committed.alice.org):
        Skill.objects.all().delete()
        Role.objects.filter(name="Harbour clerk").delete()
        return roles.create(
            committed.alice.scope,
            name="Harbour clerk",
            system_prompt="You keep the harbour's log.",
            denied_tools=["exec_command"],
        )


def test_a_skill_is_written_and_shown(visit: Visit, committed: Cast, clerk: Role) -> None:
    page = visit.sign_in(committed.alice)
    page.get_by_role("link", name="Skills").click()
    page.get_by_text("Write a skill").click()
    page.get_by_label("Name", exact=True).fill("Filing invoices")
    page.get_by_label("Description").fill("How incoming invoices are named and where they go")
    page.get_by_label("What it says").fill("# Filing\n\nName each invoice by supplier and date, then file it by month.")
    page.get_by_label("write_file").check()
    page.get_by_label("Harbour clerk").check()
    look(page, "skill-form")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", name="Filing invoices")).to_be_visible()
    expect(page.get_by_text("in force", exact=True)).to_be_visible()
    look(page, "skill")
    page.goto("/skills")
    expect(page.get_by_role("link", name="Filing invoices")).to_be_visible()
    look(page, "skills")


def test_a_task_is_given_to_a_role_and_the_trace_shows_what_came_in(
    visit: Visit, committed: Cast, clerk: Role, start_run: Callable[..., Run], work: Callable[[], None]
) -> None:
    steps = [{"tool_calls": [{"name": "list_files", "arguments": {}}]}, {"text": "The log is empty."}]
    run = start_run(committed.alice, "What is in the log?", session_key="s_clerk", steps=steps, role_id=clerk.pk)
    page = visit.sign_in(committed.alice)
    expect(page.get_by_label("Who")).to_be_visible()
    look(page, "chat-role")
    page.goto(f"/trace/{run.pk}")
    work()

    expect(page.get_by_text("Text from outside came in")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Role: Harbour clerk (v1)")).to_be_visible()
    page.locator("details.tool summary").first.click()
    expect(page.get_by_text("default.allow")).to_be_visible()
    expect(page.locator("details.tool dt", has_text="recovery")).to_be_visible()
    look(page, "trace-taint")


def test_the_admin_shows_roles_and_rehearses(visit: Visit, committed: Cast, clerk: Role) -> None:
    page = visit.sign_in(committed.alice)
    page.goto(f"/admin/teams/role/{clerk.pk}/change/")
    expect(page.get_by_text("You keep the harbour's log.").last).to_be_visible()
    look(page, "admin-role")
    page.get_by_role("link", name="Rehearse").click()
    page.get_by_role("button", name="Rehearse").click()
    expect(page.get_by_text("replayed")).to_be_visible()
    look(page, "admin-rehearse")
