"""Who may call what: every URL, every role, every kind of key, held against the one table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from openintern.tenancy import keys
from openintern.tenancy.access import Access, access_of
from openintern.tenancy.models import AuditEntry, Membership
from openintern.tenancy.policy import KEY_SCOPES, POLICY, allows, key_allows
from openintern.tenancy.roles import Role
from tests.conftest import Cast, Person
from tests.resolver import Endpoint, endpoints

NOTHING = {
    "run_id": "run_never",
    "upload_id": "upl_never",
    "approval_id": "apr_never",
    "role_id": "role_never",
    "entry_id": "entry_never",
    "group_id": "grp_never",
    "member_id": "mbr_never",
    "template": "never",
    "skill_id": "skill_never",
    "memory_id": "00000000-0000-4000-8000-000000000000",
    "session_key": "s_never",
    "object_id": "0",
    "content_type_id": "0",
    "id": "0",
    "budget_id": "0",
    "change_set_id": "00000000-0000-4000-8000-000000000000",
    "document_id": "doc_never",
    "server_id": "0",
    "schedule_id": "sch_never",
    "webhook_id": "whk_never",
    "delivery_id": "0",
    "connector_id": "fconn_never",
    "org_id": "never",
    "open_id": "ou_never",
    "pdf_job_id": "mju_never",
    "action": "look",
    "tool_call_id": "call_never",
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ONE_OF_THE_ADMINS = Membership  # all its models' pages are declared alike (and asked for, in the test of isolation)
ASKED = [each for each in endpoints() if each.declared and each.model in {None, ONE_OF_THE_ADMINS}]
BY_TABLE = [each for each in ASKED if each.declared.resource]
# these let go of the database connection, and of the test's transaction with it
STREAMS = [
    each for each in BY_TABLE if each.pattern.startswith("api/") and each.pattern.endswith(("/stream", "/progress"))
]
ANSWERED_AT_ONCE = [each for each in BY_TABLE if each not in STREAMS]
PLATFORM = [each for each in ASKED if each.declared.is_platform]
FEISHU_EVENTS = "/connectors/feishu/<slug:org_id>/<connector_id:connector_id>/events"  # for whoever can sign them
PUBLIC = {
    "/sign-in", "/sign-out", "/theme", "/language", "/health", "/admin/login/", "/platform/login/", FEISHU_EVENTS,
}  # fmt: skip


@pytest.mark.parametrize("endpoint", endpoints(), ids=str)
def test_every_url_says_who_may_call_it(endpoint: Endpoint) -> None:
    declared = endpoint.declared

    assert declared is not None, "undeclared: nobody may use it"
    assert declared.is_public or declared.is_platform or declared.actions
    assert all((declared.resource, action) in POLICY for action in (declared.actions or {}).values())


def test_what_is_public_is_a_short_list() -> None:
    assert {str(each) for each in endpoints() if each.declared and each.declared.is_public} == PUBLIC


def test_every_right_of_the_table_is_asked_for_somewhere() -> None:
    asked = {
        (each.declared.resource, action) for each in endpoints() for action in (each.declared.actions or {}).values()
    }

    assert set(POLICY) - asked == {("run", "requeue")}  # asked for by the admin's action (tests/admin)


def test_roles_include_each_other_in_order() -> None:
    assert [role for role in Role if role.includes(Role.MEMBER)] == [Role.MEMBER, Role.ADMIN, Role.OWNER]
    assert not any(allows(role, "run", "fly") for role in Role)


@pytest.mark.parametrize("endpoint", ANSWERED_AT_ONCE, ids=str)
def test_a_session_may_do_what_its_role_may(endpoint: Endpoint, bob: Person) -> None:
    client = bob.signed_in()
    for role in Role:
        become(bob, role)
        for method, action in actions(endpoint.declared):
            expected = allows(role, endpoint.declared.resource, action)
            assert is_let_in(client, endpoint, method, action) is expected, (role, method)


@pytest.mark.parametrize("endpoint", ANSWERED_AT_ONCE, ids=str)
def test_a_key_may_do_what_its_role_and_its_scopes_may(endpoint: Endpoint, bob: Person) -> None:
    for scopes in ([], ["read"], ["write"], ["act_as"]):
        client = Client(headers={"Authorization": f"Bearer {key_of(bob, scopes)}"}, raise_request_exception=False)
        for role in (Role.VIEWER, Role.OWNER):
            become(bob, role)
            for method, action in actions(endpoint.declared):
                expected = allows(role, endpoint.declared.resource, action) and key_allows(scopes, action)
                assert is_let_in(client, endpoint, method, action) is expected, (role, scopes, method)


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_a_stream_is_for_whoever_may_read_what_it_tells(stream: Endpoint, committed: Cast) -> None:
    useless = Client(headers={"Authorization": f"Bearer {key_of(committed.alice, ['act_as'])}"})
    is_of_one = "<" in stream.pattern

    assert stream.declared.actions == {"GET": "read"}
    assert useless.get(stream.path(NOTHING)).status_code == 403
    assert committed.victor.signed_in().get(stream.path(NOTHING)).status_code == (404 if is_of_one else 200)


@pytest.mark.parametrize("endpoint", BY_TABLE, ids=str)
def test_a_method_that_is_not_declared_is_not_answered(endpoint: Endpoint, alice: Person) -> None:
    client = alice.signed_in()
    for method in set(METHODS) - set(endpoint.declared.actions or {}):
        answer = client.generic(method, endpoint.path(NOTHING))
        assert answer.status_code == 405, method
        assert set(endpoint.declared.actions or {}) <= set(answer["Allow"].split(", "))


@pytest.mark.parametrize("endpoint", BY_TABLE, ids=str)
def test_nobody_gets_in_without_saying_who_they_are(endpoint: Endpoint, db: None) -> None:
    for method in METHODS:
        answer = Client().generic(method, endpoint.path(NOTHING))
        if endpoint.pattern.startswith(("api/", "v1/")) or endpoint.pattern == "mcp":
            assert answer.status_code == 401
            assert answer.json()["error"]["code"].upper() == "UNAUTHENTICATED"
        else:
            assert answer.status_code == 302
            assert answer["Location"].startswith("/sign-in?next=")


@pytest.mark.parametrize("endpoint", PLATFORM, ids=str)
def test_the_platform_is_not_there_for_an_owner_nor_for_a_key_of_its_staff(endpoint: Endpoint, alice: Person) -> None:
    path = endpoint.path(NOTHING)
    answers = [alice.signed_in().get(path), alice.signed_in().post(path), alice.with_key().get(path)]
    make_staff(alice)
    answers += [alice.with_key().get(path), alice.with_key().post(path)]

    assert [answer.status_code for answer in answers] == [404] * 5
    assert (
        AuditEntry.objects.filter(action="platform.enter", outcome="refused", object_id=path, actor=alice.user).count()
        == 5
    )


@pytest.mark.parametrize("endpoint", PLATFORM, ids=str)
def test_the_platforms_staff_gets_in(endpoint: Endpoint, alice: Person) -> None:
    make_staff(alice)

    answer = alice.signed_in().get(endpoint.path(NOTHING))

    assert answer.status_code < 500
    assert not AuditEntry.objects.filter(action="platform.enter").exists()


def test_a_view_that_says_nothing_is_refused_to_everybody(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from openintern.tenancy.api import Me

    monkeypatch.delattr(Me, "access")
    assert access_of(Me.as_view()) is None

    answer = alice.with_key().get("/api/me")

    assert answer.status_code == 403


def test_every_scope_of_a_key_says_what_it_is_for() -> None:
    assert all(KEY_SCOPES.values())
    assert not key_allows(["act_as"], "read")


def actions(declared: Access) -> Iterator[tuple[str, str]]:
    yield from (declared.actions or {}).items()


def is_let_in(client: Client, endpoint: Endpoint, method: str, action: str) -> bool:
    """Whether the policy lets the request pass; what the view says to it is another matter."""
    right = f"{endpoint.declared.resource}.{action}"
    refusals = AuditEntry.objects.filter(action=right, outcome=AuditEntry.Outcome.REFUSED)
    before = refusals.count()
    answer = client.generic(method, endpoint.path(NOTHING))
    was_recorded = refusals.count() > before
    assert answer.status_code not in {401, 500}
    assert not was_recorded or answer.status_code == 403
    return not was_recorded


def become(person: Person, role: Role) -> None:
    Membership.objects.filter(user=person.user, organization=person.org).update(role=role)


def make_staff(person: Person) -> None:
    type(person.user).objects.filter(pk=person.user.pk).update(is_superuser=True, is_staff=True)


def key_of(person: Person, scopes: list[str]) -> str:
    return keys.create_api_key(org=person.org, user=person.user, scopes=scopes)[1]
