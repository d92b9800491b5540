"""What a request says about organisation, person and project selects within an identity, and never widens it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from django.test import Client

from openintern.tenancy import keys, people
from openintern.tenancy.models import AuditEntry, Membership, Organization, Project
from openintern.tenancy.roles import Role
from runs.models import Run
from tests.conftest import Cast, Person

PLACES = ("header", "body", "query")
NAMES = ("org_id", "user_id", "project_id")
#: What nobody's organisation is called, though a search path might take it for something.
STRANGE = [
    "public", "PUBLIC", "pg_catalog", "information_schema", 'a","b', "a'; drop", "a" * 64, "a" * 151, "*", "%", "_",
    "acme\u200b", "\u0430cme", "ａｃｍｅ", "ACME", "acme,rival", "../acme", "org_default\n", "null", "0",
]  # fmt: skip


def ask(client: Client, *, method: str = "POST", **said: dict[str, Any]) -> Any:
    """Ask who I am, or start a run, with claims in the places named."""
    headers = {f"x-{name.replace('_', '-')}": value for name, value in said.get("header", {}).items()}
    query = "&".join(f"{name}={value}" for name, value in said.get("query", {}).items())
    if method == "GET":
        return client.get(f"/api/me?{query}", headers=headers)
    body = {"input": "go", "llm_config": {"provider": "mock"}, **said.get("body", {})}
    return client.post(f"/api/runs?{query}", body, content_type="application/json", headers=headers)


@pytest.fixture(params=["session", "key"])
def client(request: pytest.FixtureRequest, alice: Person) -> Client:
    return alice.signed_in() if request.param == "session" else alice.with_key()


@pytest.mark.parametrize("place", PLACES)
def test_naming_oneself_changes_nothing(client: Client, place: str) -> None:
    assert ask(client, **{place: {"org_id": " acme ", "user_id": "alice", "project_id": "  "}}).status_code == 201


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("name", "theirs", "nobodys"),
    [("org_id", "rival", "nowhere"), ("user_id", "bob", "nobody"), ("project_id", "secret", "never")],
)
def test_naming_others_is_naming_nothing(
    client: Client, charlie: Person, place: str, name: str, theirs: str, nobodys: str
) -> None:
    people.create_project("secret", org=charlie.org, by=charlie.user)

    answers = [ask(client, **{place: {name: value}}) for value in (theirs, nobodys)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    refused = AuditEntry.objects.filter(outcome="refused", object_id=theirs)
    assert [entry.actor.username for entry in refused] == ["alice"]
    assert not refused.filter(organization=charlie.org).exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("first", "second", "third"), permutations(PLACES))
def test_contradictions_are_refused_and_start_nothing(
    client: Client, committed: Cast, name: str, first: str, second: str, third: str
) -> None:
    own = {"org_id": "acme", "user_id": "alice", "project_id": "harbour"}[name]

    all_three = ask(client, **{first: {name: own}, second: {name: "rival"}, third: {name: "other"}})
    two = ask(client, **{first: {name: own}, second: {name: "rival"}})

    for answer in (all_three, two):
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "SCOPE_CONFLICT"
        assert answer.json()["error"]["details"] == {"field": name}


def test_a_parameter_given_twice_is_a_contradiction(client: Client) -> None:
    answer = client.get("/api/me?org_id=rival&org_id=acme")

    assert answer.json()["error"]["code"] == "SCOPE_CONFLICT"


@pytest.mark.parametrize("value", [1, True, ["acme"], {"a": "b"}])
def test_a_claim_in_the_body_is_a_text(client: Client, value: Any) -> None:
    answer = ask(client, body={"org_id": value})

    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": "org_id"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", STRANGE)
def test_strange_names_are_names_of_nothing(client: Client, name: str, value: str) -> None:
    answer = ask(client, body={name: value})

    assert answer.status_code in {400, 404}
    assert AuditEntry.objects.filter(outcome="refused").count() <= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["\x00", "acme\x00", "\ud800", "a\udfffb"])
def test_what_cannot_be_stored_is_refused_at_the_edge(client: Client, name: str, value: str) -> None:
    answer = ask(client, body={name: value})

    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": name}


@pytest.mark.parametrize("slug", [*STRANGE, "-acme", "acme-", "a b", "", "acme\x00"])
def test_no_organisation_can_be_called_so_either(db: None, slug: str) -> None:
    from openintern.errors import OpenInternError

    if slug in {"public", "pg_catalog", "information_schema", "null", "0"}:
        made, again = (Organization(slug=slug).schema_name for _ in range(2))
        assert made != again  # the schema's name is never what was typed
        return
    with pytest.raises(OpenInternError):
        people.create_organization(slug)


def test_a_person_of_two_organisations_chooses(alice: Person, charlie: Person) -> None:
    people.add_member(charlie.user, org=alice.org, role=Role.VIEWER, by=alice.user)
    by_session, by_key = charlie.signed_in(), charlie.with_key()

    first = by_session.get("/api/me").json()
    named = by_session.get("/api/me", headers={"x-org-id": "acme"}).json()
    by_session.post("/organization", {"organization": "acme"})
    switched = by_session.get("/api/me").json()

    assert (first["org_id"], first["role"]) == ("rival", "owner")
    assert (named["org_id"], named["role"]) == ("acme", "viewer")
    assert (switched["org_id"], switched["role"]) == ("acme", "viewer")
    assert by_key.get("/api/me", headers={"x-org-id": "acme"}).status_code == 404  # a key is bound to one


def test_nobody_switches_to_an_organisation_of_others(charlie: Person) -> None:
    client = charlie.signed_in()

    answers = [
        client.post("/organization", {"organization": slug}).status_code for slug in ("acme", "nowhere", "", "a\x00")
    ]

    assert answers == [404, 404, 404, 400]
    assert client.get("/api/me").json()["org_id"] == "rival"


def test_a_gateways_key_names_people_of_its_own_organisation(alice: Person, charlie: Person) -> None:
    _, text = keys.create_api_key(org=alice.org, user=alice.user, scopes=["read", "write", "act_as"])
    client = Client(headers={"Authorization": f"Bearer {text}"})

    me = client.get("/api/me?user_id=bob").json()
    started = ask(client, header={"user_id": "bob"})
    by_a_viewer = ask(client, header={"user_id": "victor"})

    assert (me["user_id"], me["role"], me["via"]) == ("bob", "member", text[3:15])
    assert (started.status_code, by_a_viewer.status_code) == (201, 403)
    assert (
        AuditEntry.objects.get(action="run.create", outcome="done", object_id=started.json()["run_id"]).via
        == text[3:15]
    )
    assert [client.get(f"/api/me?user_id={name}").status_code for name in ("charlie", "nobody")] == [404, 404]
    people.deactivate(Membership.objects.get(user__username="bob").user, by=alice.user)
    assert client.get("/api/me?user_id=bob").status_code == 404


def test_a_project_narrows_to_its_runs_and_only_for_its_members(alice: Person, bob: Person, victor: Person) -> None:
    project = people.create_project("harbour", org=alice.org, by=alice.user)
    Membership.objects.get(user=bob.user).projects.add(project)
    inside = ask(bob.with_key(), header={"project_id": "harbour"}).json()["run_id"]
    outside = ask(bob.with_key()).json()["run_id"]

    def runs_of(person: Person, **headers: str) -> set[str]:
        return {run["run_id"] for run in person.with_key().get("/api/runs", headers=headers).json()["runs"]}

    assert runs_of(bob) == {inside, outside}
    assert runs_of(bob, **{"x-project-id": "harbour"}) == {inside}
    assert runs_of(alice, **{"x-project-id": "harbour"}) == {inside}  # admins see all projects
    assert runs_of(victor) == set()
    assert victor.with_key().get("/api/runs", headers={"x-project-id": "harbour"}).status_code == 404
    Membership.objects.get(user=victor.user).projects.add(project)
    assert runs_of(victor) == {inside}
    assert victor.with_key().get(f"/api/runs/{outside}").status_code == 404
    Membership.objects.get(user=victor.user).projects.clear()
    assert victor.with_key().get(f"/api/runs/{inside}").status_code == 404


def test_projects_of_one_name_are_two(alice: Person, charlie: Person) -> None:
    people.create_project("harbour", org=alice.org, by=alice.user)
    people.create_project("harbour", org=charlie.org, by=charlie.user)

    answer = charlie.with_key().get("/api/me?project_id=harbour")

    assert answer.json()["org_id"] == "rival"
    assert Project.objects.filter(slug="harbour").count() == 2


def test_a_colleagues_run_is_out_of_sight(bob: Person, victor: Person, alice: Person) -> None:
    run_id = ask(bob.with_key()).json()["run_id"]
    never = "run_" + "0" * 22

    answers = [victor.with_key().get(f"/api/runs/{each}") for each in (run_id, never)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert alice.with_key().get(f"/api/runs/{run_id}").status_code == 200  # admins see all of the organisation


def test_fields_that_are_the_servers_are_not_taken_from_the_body(bob: Person) -> None:
    body = {
        "id": "run_mine",
        "run_id": "run_mine",
        "status": "completed",
        "cost": "0",
        "attempt": 7,
        "user": 1,
        "org": "rival",
        "created_at": "2000-01-01",
        "last_seq": 9,
    }

    run_id = ask(bob.with_key(), body=body).json()["run_id"]

    detail = bob.with_key().get(f"/api/runs/{run_id}").json()
    assert run_id != "run_mine"
    assert (detail["status"], detail["attempt"], detail["user_id"], detail["event_count"]) == (
        Run.Status.PENDING,
        0,
        "bob",
        0,
    )
    assert not detail["created_at"].startswith("2000")
