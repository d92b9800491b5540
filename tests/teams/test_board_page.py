"""A group's board as a page: read, added to, corrected, pinned; told apart by groups and by people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from openintern.tenancy.scope import org_scope
from teams.board import keeping
from teams.models import BoardEntry, Group
from tests.conftest import Person
from tests.teams.rosters import make_team, start_team

MakeGroup = Callable[..., Group]


def page(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, (response.status_code, path)
    return response.content.decode()


def entries(person: Person, group: Group) -> list[BoardEntry]:
    with org_scope(person.org):
        return list(BoardEntry.objects.filter(group=group).order_by("created_at", "pk"))


def test_somebody_puts_something_on_a_board_by_a_plain_form(alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    client = alice.signed_in()
    assert "Nothing is on this board yet." in page(client, f"/blackboard/{group.pk}")

    client.post(f"/blackboard/{group.pk}", {"kind": "todo", "text": "Ask <b>Ops</b>", "source": "ops.md:3"})

    shown = page(client, f"/blackboard/{group.pk}")
    [entry] = entries(alice, group)
    assert (entry.kind, entry.text, entry.status) == ("todo", "Ask <b>Ops</b>", "open")
    assert f'id="{entry.pk}"' in shown
    assert "ops.md:3" in shown
    assert "<b>Ops</b>" not in shown


def test_an_entry_is_corrected_pinned_and_removed(alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    with org_scope(alice.org):
        entry = keeping.add(alice.scope, group.pk, kind="todo", text="Ask Ops")
    client, path = alice.signed_in(), f"/blackboard/{group.pk}/{entry.pk}"

    client.post(path, {"act": "text", "text": "Ask Ops twice", "version": entry.version})
    client.post(path, {"act": "status", "status": "done"})
    client.post(path, {"act": "pin"})
    late = client.post(path, {"act": "text", "text": "Too late", "version": entry.version}, follow=True)

    [now] = entries(alice, group)
    assert (now.text, now.status, now.is_pinned) == ("Ask Ops twice", "done", True)
    assert 'class="card says-todo pinned"' in page(client, f"/blackboard/{group.pk}")
    assert "Too late" not in late.content.decode().split('id="board"')[1]
    client.post(path, {"act": "remove"})
    assert entries(alice, group) == []


def test_what_isnt_theirs_to_say_is_refused_with_a_reason(bob: Person, alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    client = bob.signed_in()

    refused = client.post(f"/blackboard/{group.pk}", {"kind": "decision", "text": "I decide"})

    assert refused.status_code == 400
    assert "Only an admin decides" in refused.content.decode()
    assert '<option value="decision"' not in page(client, f"/blackboard/{group.pk}")
    assert entries(alice, group) == []


def test_a_viewer_reads_and_is_offered_nothing_to_change(victor: Person, alice: Person, make_group: MakeGroup) -> None:
    group = make_group(alice)
    with org_scope(alice.org):
        keeping.add(alice.scope, group.pk, kind="note", text="Read me")

    shown = page(victor.signed_in(), f"/blackboard/{group.pk}")

    assert "Read me" in shown
    assert "Put something on the board" not in shown
    assert 'class="entry-acts"' not in shown


def test_what_a_team_found_leads_to_its_event_and_the_decision_to_its_evidence(alice: Person, work: Any) -> None:
    found = {"name": "post_evidence", "arguments": {"text": "The port is 8080", "source": "a.md:3"}}
    scripts: dict[str, Any] = {"Scout": [{"tool_calls": [found]}, {"text": "8080"}], "Editor": [{"text": "Use 8080."}]}
    group = make_team(alice, lead="Editor", scripts=scripts)
    run = start_team(alice, group, "Which port?")
    work()
    client = alice.signed_in()

    shown = page(client, f"/blackboard/{group.pk}?kind=evidence")

    assert "The port is 8080" in shown
    assert f'href="/trace/{run.pk}' in shown
    assert f'href="/blackboard/{group.pk}"' in page(client, f"/trace/{run.pk}")
    assert "No entry" not in shown


def test_the_page_is_found_from_the_navigation_and_takes_as_many_queries_for_many(
    alice: Person, make_group: MakeGroup, django_assert_max_num_queries: Any
) -> None:
    group = make_group(alice)
    with org_scope(alice.org):
        for number in range(12):
            keeping.add(alice.scope, group.pk, kind="note", text=f"n{number}")
    client = alice.signed_in()

    assert client.get("/blackboard")["Location"].startswith("/blackboard/grp_")
    assert 'href="/blackboard"' in page(client, "/")
    page(client, f"/blackboard/{group.pk}")
    with django_assert_max_num_queries(16):  # setting the search path counts here
        page(client, f"/blackboard/{group.pk}")


@pytest.mark.parametrize("kind", ["", "wrong"])
def test_charlie_finds_no_board_of_acmes(charlie: Person, alice: Person, make_group: MakeGroup, kind: str) -> None:
    group = make_group(alice)
    with org_scope(alice.org):
        entry = keeping.add(alice.scope, group.pk, kind="note", text="ours")
    client = charlie.signed_in()

    assert client.get(f"/blackboard/{group.pk}?kind={kind}").status_code == 404
    assert client.post(f"/blackboard/{group.pk}", {"kind": "note", "text": "x"}).status_code == 404
    assert client.post(f"/blackboard/{group.pk}/{entry.pk}", {"act": "remove"}).status_code == 404
    assert len(entries(alice, group)) == 1
