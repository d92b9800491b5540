"""A group's board as people use it: who may say what, what is changed meanwhile, and what is remembered of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.models import Membership
from openintern.tenancy.scope import org_scope
from teams.models import BoardEntry, BoardVersion
from tests.conftest import Cast, Person
from tests.runs.conftest import in_thread
from tests.teams.boards import Team


@pytest.fixture
def victor(committed: Cast) -> Person:
    return committed.victor


@pytest.fixture
def team(alice: Person, make_team: Callable[..., Team]) -> Team:
    return make_team(alice)


def path(team: Team, entry_id: str = "", more: str = "") -> str:
    return "/".join(part for part in (f"/api/groups/{team.group.pk}/blackboard", entry_id, more) if part)


def posted(person: Person, team: Team, **told: Any) -> dict[str, Any]:
    told.setdefault("text", "The index is missing")
    answer = person.with_key().post(path(team), told, content_type="application/json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def refused(client: Client, method: str, url: str, told: Any = None, **headers: str) -> str:
    answer = getattr(client, method)(url, told, content_type="application/json", headers=headers)
    return str(answer.json()["error"]["code"])


def patched(person: Person, team: Team, entry_id: str, told: dict[str, Any], *, match: str = "*") -> Any:
    client = person.with_key()
    return client.patch(path(team, entry_id), told, content_type="application/json", headers={"If-Match": match})


def test_what_a_person_puts_down_is_there_for_all_and_remembered(alice: Person, bob: Person, team: Team) -> None:
    entry = posted(bob, team, kind="todo", text="Order basalt", metadata={"ticket": 7}, importance=0.9)

    [listed] = alice.with_key().get(path(team)).json()["memories"]
    assert listed == entry
    assert (entry["type"], entry["kind"], entry["status"], entry["importance"]) == ("episodic", "todo", "open", 0.9)
    assert entry["author"] == {"kind": "user", "user_id": "bob", "role": None}
    assert entry["metadata"] == {"ticket": 7, "blackboard": True, "episodic_type": "TODO"}
    [memory] = team.memories()
    assert (memory.text, memory.tier, memory.importance) == ("To do (open): Order basalt", "episodic", 0.9)


def test_the_kind_may_be_named_as_metadata_names_it(alice: Person, team: Team) -> None:
    entry = posted(alice, team, type="core", metadata={"episodic_type": "DECISION"}, rationale="It is slow")

    assert (entry["kind"], entry["is_pinned"], entry["metadata"]["rationale"]) == ("decision", True, "It is slow")
    assert refused(alice.with_key(), "post", path(team), {"text": "x", "metadata": {"episodic_type": "?"}}) == (
        "VALIDATION_ERROR"
    )


@pytest.mark.parametrize("told", [{"kind": "decision"}, {"type": "core"}, {"metadata": {"episodic_type": "DECISION"}}])
def test_only_admins_decide_and_pin(alice: Person, bob: Person, team: Team, told: dict[str, Any]) -> None:
    assert refused(bob.with_key(), "post", path(team), {"text": "x", **told}) == "FORBIDDEN"

    posted(alice, team, **told)


def test_a_viewer_reads_and_writes_nothing(victor: Person, alice: Person, team: Team) -> None:
    entry = posted(alice, team)
    client = victor.with_key()

    assert client.get(path(team, entry["id"])).status_code == 200
    for method, url in (
        ("post", path(team)),
        ("patch", path(team, entry["id"])),
        ("delete", path(team, entry["id"])),
        ("post", path(team, entry["id"], "pin")),
    ):
        assert refused(client, method, url, {"text": "x"}) == "FORBIDDEN"


def test_who_is_not_of_the_groups_project_finds_no_board(
    alice: Person, bob: Person, charlie: Person, make_team: Callable[..., Team]
) -> None:
    project = people.create_project(f"board-{random_text(8).lower()}", org=alice.org, name="Board", by=alice.user)
    theirs = make_team(alice, project=project)
    entry = posted(alice, theirs)

    for person in (bob, charlie):
        assert refused(person.with_key(), "get", path(theirs)) == "NOT_FOUND"
        assert refused(person.with_key(), "get", path(theirs, entry["id"])) == "NOT_FOUND"
        assert refused(person.with_key(), "post", path(theirs), {"text": "x"}) == "NOT_FOUND"
    project.memberships.add(Membership.objects.get(user=bob.user, organization=bob.org))
    assert bob.with_key().get(path(theirs)).status_code == 200


def test_an_entry_is_found_on_its_own_board_alone(alice: Person, team: Team, make_team: Callable[..., Team]) -> None:
    entry, other = posted(alice, team), make_team(alice)

    for method in ("get", "patch", "delete"):
        assert refused(alice.with_key(), method, path(other, entry["id"]), {}) == "NOT_FOUND"
    for wrong in ("entry_never", "1", "00000000-0000-4000-8000-000000000000"):
        assert alice.with_key().get(path(team, wrong)).status_code == 404


@pytest.mark.parametrize(
    "forged",
    [
        {"author": {"kind": "agent"}}, {"agent_id": "agent_x"}, {"group_id": "grp_x"}, {"created_at": "2020-01-01"},
        {"run_id": "run_x"}, {"trust": "stated"}, {"version": 9}, {"is_pinned": True}, {"tier": "core"}, {"part": 1},
        {"event_seq": 1}, {"refs": []}, {"id": "entry_x"}, {"role_name": "chief"},
    ],
    ids=lambda forged: next(iter(forged)),
)  # fmt: skip
def test_nobody_says_who_wrote_what_where_and_when(alice: Person, team: Team, forged: dict[str, Any]) -> None:
    entry = posted(alice, team)

    assert refused(alice.with_key(), "post", path(team), {"text": "x", **forged}) == "VALIDATION_ERROR"
    assert patched(alice, team, entry["id"], forged).json()["error"]["code"] == "VALIDATION_ERROR"
    assert len(team.entries()) == 1


def test_a_person_speaks_as_a_role_of_the_group_and_decides_as_its_lead(
    alice: Person, team: Team, make_team: Callable[..., Team]
) -> None:
    roles = {name: member.role_id for name, member in team.members.items()}
    stranger = make_team(alice).members["chief"].role_id

    assert posted(alice, team, role_id=roles["scout"])["author"]["role"].startswith("scout")
    assert posted(alice, team, kind="decision", role_id=roles["chief"])["author"]["role"].startswith("chief")
    for role_id, code in ((roles["scout"], "FORBIDDEN"), (stranger, "FORBIDDEN"), ("role_never", "NOT_FOUND")):
        told = {"text": "x", "kind": "decision", "role_id": role_id}
        assert refused(alice.with_key(), "post", path(team), told) == code


def test_a_change_of_what_has_been_changed_meanwhile_is_refused(alice: Person, team: Team) -> None:
    entry = posted(alice, team)
    first = patched(alice, team, entry["id"], {"text": "It is there"}, match='"1"')

    second = patched(alice, team, entry["id"], {"text": "It never was"}, match='"1"')

    assert (first.status_code, first["ETag"], first.json()["version"]) == (200, '"2"', 2)
    assert (second.status_code, second.json()["error"]["details"]) == (409, {"version": 2})
    history = alice.with_key().get(path(team, entry["id"], "history")).json()["versions"]
    assert [(one["number"], one["text"], one["changed_by"]) for one in history] == [
        (1, "The index is missing", "alice")
    ]
    [memory] = team.memories()
    assert memory.text == "Note: It is there"


def test_of_two_who_change_the_same_at_once_one_is_refused(alice: Person, team: Team) -> None:
    entry = posted(alice, team)
    codes: list[int] = []

    def change(number: int) -> None:
        try:
            codes.append(patched(alice, team, entry["id"], {"text": f"by {number}"}, match='"1"').status_code)
        finally:
            connections.close_all()

    def both() -> None:
        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)

    in_thread(both)

    assert sorted(codes) == [200, 409, 409, 409]
    with org_scope(alice.org):
        assert BoardVersion.objects.filter(entry=entry["id"]).count() == 1
    assert len(team.memories()) == 1


def test_anybody_says_how_far_a_to_do_is_and_the_rest_is_its_authors(alice: Person, bob: Person, team: Team) -> None:
    theirs, mine = posted(alice, team, kind="todo"), posted(bob, team)

    done = patched(bob, team, theirs["id"], {"status": "done"})
    assert (done.status_code, done.json()["status"]) == (200, "done")
    assert patched(bob, team, theirs["id"], {"text": "x"}).status_code == 403
    assert refused(bob.with_key(), "delete", path(team, theirs["id"])) == "FORBIDDEN"
    assert patched(bob, team, mine["id"], {"text": "corrected"}).status_code == 200
    assert patched(bob, team, mine["id"], {"kind": "decision"}).status_code == 403
    assert patched(bob, team, mine["id"], {"status": "done"}).json()["status"] == ""
    assert bob.with_key().delete(path(team, mine["id"])).status_code == 204


def test_what_is_pinned_is_core_and_an_admins_to_change(alice: Person, bob: Person, team: Team) -> None:
    entry = posted(bob, team)

    assert refused(bob.with_key(), "post", path(team, entry["id"], "pin")) == "FORBIDDEN"
    pinned = alice.with_key().post(path(team, entry["id"], "pin")).json()
    assert (pinned["type"], pinned["is_pinned"], pinned["version"]) == ("core", True, 2)
    assert [memory.tier for memory in team.memories()] == ["core"]
    assert patched(bob, team, entry["id"], {"text": "x"}).status_code == 403
    assert alice.with_key().post(path(team, entry["id"], "pin")).json()["version"] == 2
    assert alice.with_key().delete(path(team, entry["id"], "pin")).json()["type"] == "episodic"
    assert [memory.tier for memory in team.memories()] == ["episodic"]


def test_what_is_removed_is_forgotten(alice: Person, team: Team) -> None:
    entry = posted(alice, team)

    assert refused(alice.with_key(), "delete", path(team, entry["id"]), **{"If-Match": '"7"'}) == "CONFLICT"
    assert alice.with_key().delete(path(team, entry["id"])).status_code == 204
    assert alice.with_key().get(path(team, entry["id"])).status_code == 404
    assert (team.entries(), team.memories()) == ([], [])


def test_a_board_is_read_by_kind_state_and_page(alice: Person, team: Team) -> None:
    for number in range(3):
        posted(alice, team, kind="todo", text=f"step {number}")
    posted(alice, team, kind="decision", type="core", text="Go")
    client = alice.with_key()

    def texts(**query: Any) -> list[str]:
        return [one["text"] for one in client.get(path(team), query).json()["memories"]]

    assert texts() == ["Go", "step 2", "step 1", "step 0"]
    assert texts(kind="todo", limit=2) == ["step 2", "step 1"]
    cursor = client.get(path(team), {"kind": "todo", "limit": 2}).json()["next_cursor"]
    assert texts(kind="todo", limit=2, cursor=cursor) == ["step 0"]
    assert (texts(pinned="true"), texts(status="done"), texts(q="TEP 1")) == (["Go"], [], ["step 1"])
    for wrong in ({"kind": "x"}, {"status": "x"}, {"pinned": "x"}, {"limit": "0"}, {"limit": "x"}, {"kinds": "todo"}):
        assert refused(client, "get", path(team), wrong) == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "told", [{}, {"text": ""}, {"text": "x" * 8_001}, {"text": 7}, {"kind": "x"}, {"importance": 2}]
)
def test_what_is_no_entry_is_refused(alice: Person, team: Team, told: dict[str, Any]) -> None:
    assert refused(alice.with_key(), "post", path(team), {"text": "ok"} | told if told else {}) == "VALIDATION_ERROR"
    assert team.entries() == []


def test_two_people_of_the_project_share_one_board(alice: Person, bob: Person, team: Team) -> None:
    posted(alice, team, text="from alice")
    posted(bob, team, text="from bob")
    team.says("scout", "post_evidence", text="from the scout")

    texts = [one["text"] for one in bob.with_key().get(path(team)).json()["memories"]]

    assert texts == ["from the scout", "from bob", "from alice"]
    with org_scope(alice.org):
        assert BoardEntry.objects.filter(group=team.group).count() == 3
