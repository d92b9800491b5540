"""A board that somebody looks at while others write on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from teams import groups
from teams.board import keeping
from teams.models import Group
from tests.browser.conftest import Visit
from tests.browser.test_approvals import look
from tests.conftest import Cast, Person

pytestmark = pytest.mark.browser


@pytest.fixture
def group(committed: Cast) -> Iterator[Group]:
    alice = committed.alice
    with org_scope(alice.org):
        group = groups.create(alice.scope, name=f"Harbour {random_text(6)}")
    yield group
    with org_scope(alice.org):
        Group.objects.filter(pk=group.pk).delete()


@pytest.fixture
def say(group: Group) -> Callable[[Person, str], str]:
    """Put a note on the board, from elsewhere; return its id."""

    def put(person: Person, text: str) -> str:
        with org_scope(person.org):
            return keeping.add(person.scope, group.pk, kind="note", text=text).pk

    return put


def board(visit: Visit, person: Person, group: Group) -> Page:
    page = visit.sign_in(person)
    with page.expect_response("**/blackboard/stream"):
        page.goto(f"/blackboard/{group.pk}")
    return page


def note(page: Page, text: str) -> Locator:
    return page.locator(".card-text", has_text=text)


def test_what_others_write_is_seen_as_they_write_it(
    visit: Visit, committed: Cast, group: Group, say: Callable[[Person, str], str]
) -> None:
    page = board(visit, committed.alice, group)
    expect(page.get_by_text("Nothing is on this board yet.")).to_be_visible(timeout=20_000)

    entry = say(committed.bob, "The crane is down")
    expect(note(page, "The crane is down")).to_be_visible(timeout=20_000)
    with org_scope(committed.alice.org):
        keeping.change(committed.bob.scope, group.pk, entry, text="The crane works again")

    expect(note(page, "The crane works again")).to_be_visible(timeout=20_000)
    look(page, "board-live")
    page.get_by_role("link", name="version 2").click()
    expect(page.locator("#v2 ins")).to_have_text("works again", timeout=20_000)
    look(page, "board-versions")


def test_a_board_is_not_drawn_anew_under_the_hands_of_one_who_writes(
    visit: Visit, committed: Cast, group: Group, say: Callable[[Person, str], str]
) -> None:
    entry = say(committed.alice, "The crane is down")
    page = board(visit, committed.alice, group)
    page.locator(f"#acts-{entry} summary").click()
    field = page.locator(f"#acts-{entry} textarea")
    field.fill("The crane is down until Monday")

    drawn: list[str] = []
    page.on("request", lambda request: drawn.append(request.url) if request.url.endswith(f"/{group.pk}") else None)
    page.evaluate(
        "url => new EventSource(url).addEventListener('board.changed', e => console.log(`entries ${JSON.parse(e.data).entries}`))",
        page.locator("#board").get_attribute("data-stream"),
    )
    for number in (2, 3):  # when the later one is heard of, the earlier one would have been drawn
        with page.expect_console_message(lambda message, number=number: message.text == f"entries {number}"):
            say(committed.bob, f"Ask the yard {number}")
    expect(field).to_have_value("The crane is down until Monday")
    assert drawn == []

    page.locator(f"#acts-{entry} summary").click()
    page.get_by_role("heading", name="Blackboard").click()

    expect(note(page, "Ask the yard 3")).to_be_visible(timeout=20_000)
    expect(note(page, "Ask the yard 2")).to_be_visible(timeout=20_000)
