"""What an entry of a board said before, as a page: who changed what, when, word by word."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from openintern.tenancy.models import Project
from openintern.tenancy.scope import org_scope
from teams.board import keeping
from teams.models import BoardEntry, Group
from teams.pages import versions
from tests.conftest import Person

MakeGroup = Callable[..., Group]


def put(person: Person, group: Group, *texts: str, **told: Any) -> BoardEntry:
    """Put an entry on a board, and change it to each of the texts that follow."""
    with org_scope(person.org):
        entry = keeping.add(person.scope, group.pk, kind=told.pop("kind", "note"), text=texts[0], **told)
        for text in texts[1:]:
            entry = keeping.change(person.scope, group.pk, entry.pk, text=text)
        return entry


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, (response.status_code, path)
    return unescape(response.content.decode())


def path_of(group: Group, entry: BoardEntry) -> str:
    return f"/blackboard/{group.pk}/{entry.pk}/versions"


def numbers(shown: str) -> list[int]:
    """Which versions a page shows, in its order."""
    return [int(part.split('"')[0]) for part in shown.split('" id="v')[1:]]


def test_each_version_tells_who_changed_which_words(alice: Person, bob: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    entry = put(bob, group, "Ask Ops on Monday", source="ops.md:3")
    with org_scope(alice.org):
        keeping.change(alice.scope, group.pk, entry.pk, text="Ask Legal on Monday", source="legal.md:1")

    shown = page(alice.signed_in(), path_of(group, entry))
    latest, first = shown.split('id="v2"')[1].split('id="v1"')

    assert "Ask <del>Ops </del><ins>Legal </ins>on Monday" in latest
    assert "<del>ops.md:3</del> <ins>legal.md:1</ins>" in latest
    assert alice.user.username in latest
    assert "Ask Ops on Monday" in first
    assert bob.user.username in first
    assert "<ins>" not in first


def test_what_else_changed_is_told_in_words(alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    entry = put(alice, group, "Ask Ops", kind="todo")
    with org_scope(alice.org):
        keeping.change(alice.scope, group.pk, entry.pk, status="done")
        keeping.pin(alice.scope, group.pk, entry.pk, is_pinned=True)

    shown = page(alice.signed_in(), path_of(group, entry))

    assert '<dt>Status</dt><dd dir="auto"><del>not begun</del> <ins>done</ins>' in shown
    assert '<dt>Pinned</dt><dd dir="auto"><del>no</del> <ins>yes</ins>' in shown
    assert numbers(shown) == [3, 2, 1]


def test_an_entry_leads_to_its_versions_once_it_has_some(alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    once, twice = put(alice, group, "Said once"), put(alice, group, "Said", "Said better")

    shown = page(alice.signed_in(), f"/blackboard/{group.pk}")

    assert f'href="{path_of(group, twice)}"' in shown
    assert f'href="{path_of(group, once)}"' not in shown
    assert f'href="/blackboard/{group.pk}#{twice.pk}"' in page(alice.signed_in(), path_of(group, twice))


def test_many_versions_are_read_page_by_page(alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    entry = put(alice, group, *[f"Text {number}" for number in range(1, 2 * versions.SHOWN + 3)])
    client, path = alice.signed_in(), path_of(group, entry)

    seen, url = [], path
    while url:
        shown = page(client, url)
        seen += numbers(shown)
        url = shown.split('" rel="next"')[0].split('href="')[-1] if 'rel="next"' in shown else ""

    assert seen == list(range(2 * versions.SHOWN + 2, 0, -1))
    with org_scope(alice.org):
        assert [row.number for row in keeping.history(alice.scope, group.pk, entry.pk, before=3)] == [2, 1]
    told = alice.with_key().get(f"/api/groups/{group.pk}/blackboard/{entry.pk}/history", {"before": "3"}).json()
    assert [row["number"] for row in told["versions"]] == [2, 1]


def test_a_text_that_is_markup_stays_text(alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    entry = put(alice, group, "<b>bold</b>", "<i>bold</i> <script>x</script>")

    raw = alice.signed_in().get(path_of(group, entry)).content.decode()

    assert "&lt;" in raw
    assert "<script>x" not in raw
    assert "<i>bold" not in raw


@pytest.mark.parametrize("before", ["x", "-1", "99999999999"])
def test_a_place_that_is_none_is_refused(alice: Person, make_group: MakeGroup, before: str) -> None:
    group = make_group(alice)
    entry = put(alice, group, "One", "Two")

    assert alice.signed_in().get(path_of(group, entry), {"before": before}).status_code == 400
    assert (
        alice.with_key().get(f"/api/groups/{group.pk}/blackboard/{entry.pk}/history", {"before": before}).status_code
        == 400
    )


def test_others_find_nothing(
    alice: Person, bob: Person, charlie: Person, make_group: MakeGroup, project_of: Callable[..., Project]
) -> None:
    group, other = make_group(alice, project=project_of(alice)), make_group(alice)
    entry = put(alice, group, "Ours", "Ours alone")

    assert charlie.signed_in().get(path_of(group, entry)).status_code == 404
    assert bob.signed_in().get(path_of(group, entry)).status_code == 404
    assert alice.signed_in().get(path_of(other, entry)).status_code == 404
