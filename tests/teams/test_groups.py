"""Groups and their members: made and changed by admins, seen by whoever is in the project."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from openintern.errors import OpenInternError
from openintern.tenancy.models import AuditEntry, Project
from openintern.tenancy.scope import org_scope
from teams import groups, members, roles
from teams.models import AgentInstance, Group, Member, Role
from tests.conftest import Person

Make = Callable[..., Group]
MakeRole = Callable[..., Role]
MakeProject = Callable[..., Project]


@pytest.fixture
def client(alice: Person) -> Client:
    return alice.with_key()


def put(client: Client, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return client.put(f"/api/groups/{path}", body, content_type="application/json", headers=headers or {})


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"/api/groups{path}", body, content_type="application/json")


def members_of(client: Client, group: Group) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/api/groups/{group.pk}/members").json()["members"]
    return rows


def test_a_group_is_made_read_changed_and_removed(client: Client, make_role: MakeRole, alice: Person) -> None:
    first, second = make_role(alice), make_role(alice, is_lead=True)

    made = post(client, "", name=f"The  {first.name} team", description="Reads.")
    group = made.json()
    assert (made.status_code, made["ETag"]) == (201, '"1"')
    assert group["id"].startswith("grp_")
    assert (group["name"], group["project_id"], group["lead_id"]) == (f"The {first.name} team", None, None)
    assert (group["mode"], group["quorum"], group["max_rounds"], group["on_member_failure"]) == (
        "serial",
        None,
        3,
        "continue",
    )

    path = f"/{group['id']}"
    one = post(client, f"{path}/members", role_id=first.pk).json()
    two = post(client, f"{path}/members", role_id=second.pk).json()
    assert [one["ordinal"], two["ordinal"], one["is_lead"], two["is_lead"]] == [0, 1, False, True]
    assert one["agent_instance_id"].startswith("agent_")
    assert client.get("/api/groups").json()["groups"][0]["id"] == group["id"]
    changed = put(client, group["id"], mode="parallel", quorum=1, lead_id=one["id"]).json()
    assert (changed["mode"], changed["quorum"], changed["lead_id"], changed["version"]) == ("parallel", 1, one["id"], 4)
    assert put(client, group["id"]).json() == changed
    assert client.delete(f"/api/groups{path}").status_code == 204
    assert client.get(f"/api/groups{path}").status_code == 404


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"description": "a\x00b"}, "description"),
        ({"mode": "sideways"}, "mode"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"max_rounds": 6}, "max_rounds"),
        ({"max_rounds": True}, "max_rounds"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": 21}, "quorum"),
        ({"on_member_failure": "shrug"}, "on_member_failure"),
        ({"project_id": 7}, "project_id"),
    ],
)
def test_what_cannot_be_a_group_is_refused(client: Client, told: dict[str, Any], field: str) -> None:
    answer = post(client, "", **{"name": "somebody", **told})

    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field


@pytest.mark.parametrize("ordinal", [-1, 10_001, "1", 1.5, True])
def test_a_place_is_a_whole_number_within_bounds(
    client: Client, alice: Person, make_group: Make, make_role: MakeRole, ordinal: Any
) -> None:
    group = make_group(alice, size=1)
    member = members_of(client, group)[0]

    assert post(client, f"/{group.pk}/members", role_id=make_role(alice).pk, ordinal=ordinal).status_code == 400
    assert put(client, f"{group.pk}/members/{member['id']}", ordinal=ordinal).status_code == 400
    assert members_of(client, group) == [member]


@pytest.mark.parametrize(("query", "field"), [("limit=x", "limit"), ("offset=-1", "offset"), ("limit=101", "limit")])
def test_a_page_of_the_history_that_cannot_be_is_refused(
    client: Client, alice: Person, make_group: Make, query: str, field: str
) -> None:
    answer = client.get(f"/api/groups/{make_group(alice).pk}/history?{query}")

    assert (answer.status_code, answer.json()["error"]["details"]["field"]) == (400, field)


def test_a_name_and_a_role_are_taken_once(client: Client, alice: Person, make_group: Make, make_role: MakeRole) -> None:
    group, other, role = make_group(alice), make_group(alice), make_role(alice)
    assert post(client, f"/{group.pk}/members", role_id=role.pk).status_code == 201

    answers = [
        post(client, "", name=group.name),
        put(client, other.pk, name=group.name),
        post(client, f"/{group.pk}/members", role_id=role.pk),
    ]

    assert [(one.status_code, one.json()["error"]["code"]) for one in answers] == [(409, "CONFLICT")] * 3
    assert len(members_of(client, group)) == 1


def test_what_is_not_there_cannot_be_joined(
    client: Client, alice: Person, charlie: Person, make_group: Make, make_role: MakeRole
) -> None:
    group, theirs = make_group(alice), make_role(charlie)

    never = post(client, f"/{group.pk}/members", role_id="role_never")
    foreign = post(client, f"/{group.pk}/members", role_id=theirs.pk)

    assert (never.status_code, foreign.status_code, foreign.json()) == (404, 404, never.json())
    assert post(client, "/grp_never/members", role_id=make_role(alice).pk).status_code == 404


def test_a_member_is_of_its_group_and_no_other(client: Client, alice: Person, make_group: Make) -> None:
    group, other = make_group(alice, size=1), make_group(alice, size=1)
    (theirs,) = members_of(client, other)

    path = f"{group.pk}/members/{theirs['id']}"
    answers = [client.get(f"/api/groups/{path}"), put(client, path, ordinal=3), client.delete(f"/api/groups/{path}")]
    lead = put(client, group.pk, lead_id=theirs["id"])

    assert [one.status_code for one in answers] == [404] * 3
    assert (lead.status_code, lead.json()["error"]["details"]["field"]) == (400, "lead_id")
    assert members_of(client, other) == [theirs]


def test_members_are_put_into_another_order_by_one_call(client: Client, alice: Person, make_group: Make) -> None:
    group = make_group(alice, size=3)
    first, second, third = (row["id"] for row in members_of(client, group))

    answer = put(client, f"{group.pk}/members/order", members=[third, first, second])

    assert [row["id"] for row in answer.json()["members"]] == [third, first, second]
    assert [(row["id"], row["ordinal"]) for row in members_of(client, group)] == [(third, 0), (first, 1), (second, 2)]
    for wrong in ([first, second], [first, second, second], [first, second, third, "mbr_never"]):
        assert put(client, f"{group.pk}/members/order", members=wrong).status_code == 400
    placed = put(client, f"{group.pk}/members/{third}", ordinal=9)
    assert (placed.json()["ordinal"], members_of(client, group)[-1]["id"]) == (9, third)


def test_one_member_moves_up_and_down_and_stops_at_the_ends(alice: Person, make_group: Make) -> None:
    group = make_group(alice, size=3)
    with org_scope(alice.org):
        first, second, third = (member.pk for member in groups.members_of(group))

        orders = [
            [member.pk for member in members.move(alice.scope, group.pk, who, by=by)]
            for who, by in ((third, -1), (third, -1), (third, -1), (first, 1), (second, 1))
        ]

    assert orders == [
        [first, third, second],
        [third, first, second],
        [third, first, second],
        [third, second, first],
        [third, first, second],
    ]


def test_the_lead_is_chosen_or_else_the_first_who_is_one(
    client: Client, alice: Person, make_group: Make, make_role: MakeRole
) -> None:
    group = make_group(alice, size=1)
    post(client, f"/{group.pk}/members", role_id=make_role(alice, is_lead=True).pk)
    plain, lead = (row["id"] for row in members_of(client, group))
    assert [row["is_lead"] for row in members_of(client, group)] == [False, True]

    put(client, group.pk, lead_id=plain)
    assert [row["is_lead"] for row in members_of(client, group)] == [True, False]

    assert client.delete(f"/api/groups/{group.pk}/members/{plain}").status_code == 204
    assert client.get(f"/api/groups/{group.pk}").json()["lead_id"] is None
    assert [(row["id"], row["is_lead"]) for row in members_of(client, group)] == [(lead, True)]


@pytest.mark.parametrize("by", ["etag", "version"])
def test_a_change_on_top_of_an_outdated_group_is_a_conflict(
    client: Client, alice: Person, make_group: Make, by: str
) -> None:
    group = make_group(alice)
    told = {"headers": {"If-Match": '"1"'}} if by == "etag" else {"version": 1}
    assert put(client, group.pk, description="mine", **told).status_code == 200

    late = put(client, group.pk, description="theirs", **told)

    assert (late.status_code, late.json()["error"]["code"]) == (409, "CONFLICT")
    assert client.get(f"/api/groups/{group.pk}").json()["description"] == "mine"


def test_who_is_in_a_group_is_a_part_of_its_version(
    client: Client, alice: Person, make_group: Make, make_role: MakeRole
) -> None:
    group = make_group(alice, size=2)
    first, second = (row["id"] for row in members_of(client, group))
    outdated = {"If-Match": f'"{group.version}"'}
    put(client, f"{group.pk}/members/order", members=[second, first])

    late = [
        put(client, f"{group.pk}/members/order", outdated, members=[first, second]),
        put(client, f"{group.pk}/members/{first}", outdated, ordinal=0),
        client.delete(f"/api/groups/{group.pk}/members/{first}", headers=outdated),
        put(client, group.pk, outdated, name="another"),
    ]

    assert [one.status_code for one in late] == [409] * 4
    assert [row["id"] for row in members_of(client, group)] == [second, first]


def test_of_many_who_add_the_same_role_at_once_one_succeeds(
    alice: Person, make_group: Make, make_role: MakeRole
) -> None:
    group, role = make_group(alice), make_role(alice)
    outcomes: list[str] = []
    begin = threading.Barrier(5)

    def add() -> None:
        try:
            begin.wait(10)
            with org_scope(alice.org):
                outcomes.append(members.add(alice.scope, group.pk, role_id=role.pk).role_id)
        except OpenInternError as error:
            outcomes.append(error.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=add) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == sorted([role.pk, *["CONFLICT"] * 4])


def test_a_role_is_one_agent_in_a_project_whichever_groups_it_is_in(
    alice: Person, make_group: Make, make_role: MakeRole, project_of: MakeProject
) -> None:
    role, project = make_role(alice), project_of(alice)
    there = [make_group(alice, project=project), make_group(alice, project=project), make_group(alice)]
    with org_scope(alice.org):
        agents = [members.add(alice.scope, group.pk, role_id=role.pk).agent_id for group in there]
        again = members.add(alice.scope, make_group(alice).pk, role_id=role.pk).agent_id

        assert agents[0] == agents[1] != agents[2]
        assert again == agents[2]
        assert AgentInstance.objects.filter(role=role).count() == 2


def test_who_comes_back_into_a_group_is_the_same_agent(client: Client, alice: Person, make_group: Make) -> None:
    group = make_group(alice, size=1)
    (before,) = members_of(client, group)
    client.delete(f"/api/groups/{group.pk}/members/{before['id']}")

    after = post(client, f"/{group.pk}/members", role_id=before["role_id"]).json()

    assert after["id"] != before["id"]
    assert after["agent_instance_id"] == before["agent_instance_id"]


def test_a_group_that_moves_to_a_project_has_that_projects_agents(
    client: Client, alice: Person, make_group: Make, project_of: MakeProject
) -> None:
    one, other = project_of(alice), project_of(alice)
    group = make_group(alice, size=2, project=one)
    before = {row["agent_instance_id"] for row in members_of(client, group)}

    moved = put(client, group.pk, project_id=other.slug).json()
    between = {row["agent_instance_id"] for row in members_of(client, group)}
    shared = put(client, group.pk, project_id=None).json()
    back = put(client, group.pk, project_id=one.slug).json()

    assert (moved["project_id"], shared["project_id"], back["project_id"]) == (other.slug, None, one.slug)
    assert before.isdisjoint(between)
    assert {row["agent_instance_id"] for row in members_of(client, group)} == before


def test_a_group_cannot_be_moved_to_a_project_of_another_organisation(
    client: Client, alice: Person, charlie: Person, make_group: Make, project_of: MakeProject
) -> None:
    group, theirs = make_group(alice), project_of(charlie)

    foreign, never = (put(client, group.pk, project_id=slug) for slug in (theirs.slug, "never-was"))

    assert (foreign.status_code, foreign.json()) == (404, never.json())
    with org_scope(alice.org), pytest.raises(OpenInternError, match="not found"):
        groups.change(alice.scope, group.pk, project=theirs)


def test_a_group_is_there_for_those_of_its_project(
    alice: Person, bob: Person, charlie: Person, make_group: Make, project_of: MakeProject
) -> None:
    hidden = make_group(alice, size=1, project=project_of(alice))
    shared, his = make_group(alice), make_group(alice, project=project_of(alice, bob))
    client = bob.with_key()

    seen = {row["id"] for row in client.get("/api/groups").json()["groups"]}
    statuses = [client.get(f"/api/groups/{one.pk}").status_code for one in (hidden, shared, his)]
    below = [client.get(f"/api/groups/{hidden.pk}/{part}").status_code for part in ("members", "history")]

    assert {shared.pk, his.pk} <= seen
    assert hidden.pk not in seen
    assert (statuses, below) == ([404, 200, 200], [404, 404])
    only = client.get(f"/api/groups?project_id={his.project.slug}").json()["groups"]
    assert [row["id"] for row in only] == [his.pk]
    assert client.get(f"/api/groups?project_id={hidden.project.slug}").status_code == 404
    role_id = members_of(alice.with_key(), hidden)[0]["role_id"]
    assert client.get(f"/api/roles/{role_id}/stats").json()["groups"] == []


def test_members_of_the_organisation_read_groups_and_change_none(
    alice: Person, bob: Person, make_group: Make, make_role: MakeRole
) -> None:
    group, client = make_group(alice, size=1), bob.with_key()
    (member,) = members_of(client, group)

    answers = [
        post(client, "", name="mine"),
        put(client, group.pk, name="mine"),
        client.delete(f"/api/groups/{group.pk}"),
        post(client, "/batch-delete", ids=[group.pk]),
        post(client, f"/{group.pk}/members", role_id=make_role(alice).pk),
        put(client, f"{group.pk}/members/{member['id']}", ordinal=4),
        put(client, f"{group.pk}/members/order", members=[member["id"]]),
        client.delete(f"/api/groups/{group.pk}/members/{member['id']}"),
    ]

    assert [one.status_code for one in answers] == [403] * len(answers)
    assert members_of(client, group) == [member]


def test_charlie_can_neither_see_nor_change_acmes_groups(alice: Person, charlie: Person, make_group: Make) -> None:
    group, client = make_group(alice, size=1), charlie.with_key()
    (member,) = members_of(alice.with_key(), group)

    answers = [
        client.get(f"/api/groups/{group.pk}"),
        put(client, group.pk, name="mine"),
        client.delete(f"/api/groups/{group.pk}"),
        client.get(f"/api/groups/{group.pk}/members"),
        client.get(f"/api/groups/{group.pk}/members/{member['id']}"),
        client.get(f"/api/groups/{group.pk}/history"),
        put(client, f"{group.pk}/members/order", members=[member["id"]]),
        client.delete(f"/api/groups/{group.pk}/members/{member['id']}"),
    ]

    assert [one.status_code for one in answers] == [404] * len(answers)
    assert group.pk not in client.get("/api/groups").content.decode()
    assert members_of(alice.with_key(), group) == [member]


def test_several_are_removed_and_unknown_ones_passed_over(
    client: Client, alice: Person, charlie: Person, make_group: Make
) -> None:
    mine, theirs = make_group(alice, size=2), make_group(charlie)

    answer = post(client, "/batch-delete", ids=[mine.pk, theirs.pk, "grp_never"])

    assert answer.json() == {"deleted": 1}
    with org_scope(charlie.org):
        assert Group.objects.filter(pk=theirs.pk).exists()
    assert post(client, "/batch-delete", ids=[]).status_code == 400
    assert post(client, "/batch-delete", ids="grp_never").status_code == 400
    assert post(client, "/batch-delete", ids=["grp_x"] * 101).status_code == 400


def test_a_group_and_an_organisation_are_full_at_some_point(
    alice: Person, make_group: Make, make_role: MakeRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MOST_MEMBERS", 2)
    group, role = make_group(alice, size=2), make_role(alice)
    with org_scope(alice.org):
        monkeypatch.setattr(groups, "MOST", Group.objects.count())

        for refused in (
            lambda: members.add(alice.scope, group.pk, role_id=role.pk),
            lambda: groups.create(alice.scope, name=f"{group.name} too"),
        ):
            with pytest.raises(OpenInternError, match="at most") as told:
                refused()
            assert told.value.code == "CONFLICT"


def test_a_role_that_is_removed_leaves_its_groups(client: Client, alice: Person, make_group: Make) -> None:
    group = make_group(alice, size=2)
    gone, stays = members_of(client, group)
    assert client.get(f"/api/roles/{gone['role_id']}/stats").json()["groups"] == [{"id": group.pk, "name": group.name}]

    client.delete(f"/api/roles/{gone['role_id']}")

    assert members_of(client, group) == [stays]
    assert client.get(f"/api/groups/{group.pk}").json()["version"] == group.version + 1


def test_the_history_says_who_did_what(client: Client, alice: Person, make_group: Make, make_role: MakeRole) -> None:
    group, role = make_group(alice), make_role(alice)
    member = post(client, f"/{group.pk}/members", role_id=role.pk).json()
    put(client, group.pk, max_rounds=2, lead_id=member["id"])
    client.delete(f"/api/groups/{group.pk}/members/{member['id']}")

    told = client.get(f"/api/groups/{group.pk}/history").json()["history"]

    assert [row["action"] for row in told] == [
        "group.remove_member",
        "group.change",
        "group.add_member",
        "group.create",
    ]
    assert {row["by"] for row in told} == {"alice"}
    assert told[1]["details"] == {"fields": ["lead", "max_rounds"], "version": 3}
    assert told[0]["details"] == {"member": member["id"], "role": role.name, "version": 4}
    paged = client.get(f"/api/groups/{group.pk}/history?limit=1&offset=1").json()["history"]
    assert paged == told[1:2]
    put_role = client.put(f"/api/roles/{role.pk}", {"is_lead": True}, content_type="application/json")
    assert put_role.status_code == 200
    of_role = client.get(f"/api/roles/{role.pk}/history").json()["history"]
    assert [row["action"] for row in of_role] == ["role.change", "role.create"]


def test_an_entry_of_another_organisation_is_in_no_history(
    client: Client, alice: Person, charlie: Person, make_group: Make
) -> None:
    from openintern.tenancy import audit

    group = make_group(alice)
    audit.record_for(charlie.scope, "group.change", object_id=group.pk, fields=["name"])

    told = client.get(f"/api/groups/{group.pk}/history").json()["history"]

    assert [row["action"] for row in told] == ["group.create"]
    assert AuditEntry.objects.filter(object_id=group.pk).count() == 2


def test_nothing_that_the_server_decides_is_taken_from_the_body(
    client: Client, alice: Person, make_role: MakeRole
) -> None:
    body = {"id": "grp_mine", "version": 9, "lead_id": "mbr_x", "created_at": "2001-01-01T00:00:00Z"}

    made = post(client, "", name=f"group of {make_role(alice).pk}", **body).json()
    group_id = made["id"]
    joined = post(
        client, f"/{group_id}/members", role_id=make_role(alice).pk, id="mbr_mine", agent_instance_id="agent_mine"
    ).json()

    assert group_id != "grp_mine"
    assert (made["version"], made["lead_id"], made["created_at"][:4] > "2001") == (1, None, True)
    assert (joined["id"] != "mbr_mine", joined["agent_instance_id"] != "agent_mine") == (True, True)
    with org_scope(alice.org):
        assert Member.objects.get(pk=joined["id"]).group_id == group_id
        roles.delete(alice.scope, joined["role_id"])


def test_a_method_that_nobody_knows_is_refused_whatever_its_body_says(alice: Person) -> None:
    said = '{"name": "x", "project_id": "0"}'

    client = alice.with_key()

    for method in ("QUERY", "PUT", "DELETE"):
        assert client.generic(method, "/api/groups", said, content_type="application/json").status_code == 405
