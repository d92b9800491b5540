"""Keys and sessions: what is accepted, what isn't any more, and what is written down about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session as WebSession
from django.db import DatabaseError, transaction
from django.test import Client
from django.utils import timezone

from openintern.tenancy import keys, people, throttle
from openintern.tenancy.models import ApiKey, AuditEntry, Membership, Organization, User
from openintern.tenancy.roles import Role
from tests.conftest import PASSWORD, Cast, Person

WRONG = "These words are nobody's"


def test_a_key_says_who_it_is(bob: Person) -> None:
    me = bob.with_key().get("/api/me").json()

    assert me == {"org_id": "acme", "user_id": "bob", "role": "member", "project_id": None, "via": bob.api_key[3:15]}
    assert ApiKey.objects.get(user=bob.user).last_used_at is not None


def mangled(key: str) -> dict[str, str]:
    flipped = chr(ord(key[30]) ^ 1)
    return {
        "truncated": key[:-1],
        "prefix only": key[:16],
        "one bit changed": key[:30] + flipped + key[31:],
        "upper case": key.upper(),
        "with a NUL": key[:-1] + "\x00",
        "not ASCII": key[:-1] + "é",
        "somebody else's prefix": "oi_AAAAAAAAAAAA" + key[15:],
        "very long": key * 100,
        "empty": "",
    }


@pytest.mark.parametrize("fault", list(mangled("x" * 67)))
def test_what_is_almost_a_key_is_none(alice: Person, fault: str) -> None:
    answer = get_me(f"Bearer {mangled(alice.api_key)[fault]}")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"] == {"code": "UNAUTHENTICATED", "message": "This key isn't valid"}
    assert alice.api_key[16:] not in answer.content.decode()


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Key", ""])
def test_only_a_bearer_is_heard(alice: Person, scheme: str) -> None:
    assert get_me(f"{scheme} {alice.api_key}").status_code == 401
    assert get_me(f"bearer  {alice.api_key} ").status_code == 200


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "token", "authorization"])
def test_a_key_in_the_address_is_not_read(alice: Person, name: str) -> None:
    assert Client().get("/api/me", {name: alice.api_key}).status_code == 401


def test_a_correct_prefix_and_checksum_do_not_make_a_key(alice: Person) -> None:
    forged = keys._text(alice.api_key[3:15], "A" * 43)

    assert get_me(f"Bearer {forged}").status_code == 401


def test_a_revoked_key_and_an_expired_key_end_at_once(alice: Person) -> None:
    revoked, revoked_text = keys.create_api_key(org=alice.org, user=alice.user)
    _, expired_text = keys.create_api_key(
        org=alice.org, user=alice.user, expires_at=timezone.now() - timedelta(seconds=1)
    )
    before = get_me(f"Bearer {revoked_text}").status_code

    keys.revoke_api_key(revoked, by=alice.user, at=timezone.now())

    assert before == 200
    assert [get_me(f"Bearer {text}").status_code for text in (revoked_text, expired_text)] == [401, 401]


def test_the_use_of_a_dead_key_is_in_the_audit_once_a_minute_and_not_the_key(alice: Person) -> None:
    key, text = keys.create_api_key(org=alice.org, user=alice.user)
    keys.revoke_api_key(key, by=alice.user, at=timezone.now())

    for _ in range(5):
        assert get_me(f"Bearer {text}").status_code == 401
    assert get_me(f"Bearer {text[:-9]}x{text[-8:]}").status_code == 401

    [entry] = AuditEntry.objects.filter(action="api_key.use")
    assert (entry.organization, entry.actor, entry.object_id, entry.outcome) == (
        alice.org,
        alice.user,
        key.prefix,
        "refused",
    )
    assert text.split("_")[2][:12] not in str(vars(entry))


def test_only_a_digest_of_the_key_is_stored(alice: Person) -> None:
    row = ApiKey.objects.filter(user=alice.user).values().get()

    assert alice.api_key not in str(row)
    assert alice.api_key[16:59] not in str(row)


def test_a_key_that_may_only_read_starts_nothing(alice: Person) -> None:
    _, text = keys.create_api_key(org=alice.org, user=alice.user, scopes=["read"])
    client = Client(headers={"Authorization": f"Bearer {text}"})

    answers = [client.get("/api/runs"), client.post("/api/runs", {"input": "go"}, content_type="application/json")]

    assert [answer.status_code for answer in answers] == [200, 403]
    assert (
        AuditEntry.objects.filter(action="run.create", outcome="refused", via=text[3:15], actor=alice.user).count() == 1
    )


def test_where_key_and_cookie_come_together_the_key_decides(alice: Person, charlie: Person) -> None:
    client = alice.signed_in()

    by_key = client.get("/api/me", headers=charlie.headers)
    by_a_bad_key = client.get("/api/me", headers={"Authorization": "Bearer oi_nonsense"})

    assert by_key.json()["user_id"] == "charlie"
    assert by_a_bad_key.status_code == 401


def test_a_key_needs_no_csrf_token_and_a_cookie_does(alice: Person) -> None:
    task = {"data": {"input": "go", "llm_config": {"provider": "mock"}}, "content_type": "application/json"}
    by_cookie = alice.signed_in(check_csrf=True)

    refused = by_cookie.post("/api/runs", **task)
    by_both = by_cookie.post("/api/runs", headers=alice.headers, **task)
    by_cookie.get("/")
    with_token = by_cookie.post("/api/runs", headers={"X-CSRFToken": by_cookie.cookies["csrftoken"].value}, **task)

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "FORBIDDEN"
    assert (by_both.status_code, with_token.status_code) == (201, 201)


@pytest.mark.parametrize(
    "path",
    ["/", "/theme", "/language", "/password", "/organization", "/sign-out", "/sign-in", "/admin/tenancy/project/add/"],
)
def test_a_form_needs_a_csrf_token(alice: Person, path: str) -> None:
    answer = alice.signed_in(check_csrf=True).post(path, {"input": "go"})

    assert answer.status_code == 403


ENDINGS: dict[str, Callable[[Person], Any]] = {
    "the person is deactivated": lambda one: people.deactivate(one.user, by=one.user),
    "the membership has ended": lambda one: people.remove_member(Membership.objects.get(user=one.user), by=one.user),
    "the organisation is suspended": lambda one: Organization.objects.filter(pk=one.org.pk).update(is_active=False),
}


@pytest.mark.parametrize("why", list(ENDINGS))
def test_sessions_and_keys_end_with_the_next_request_when(bob: Person, why: str) -> None:
    by_session, by_key = bob.signed_in(), bob.with_key()
    before = [client.get("/api/me").status_code for client in (by_session, by_key)]

    ENDINGS[why](bob)

    assert before == [200, 200]
    assert by_key.get("/api/me").status_code == 401
    assert by_session.get("/api/me").status_code in {401, 403}
    assert by_session.get("/").status_code in {302, 403}


def test_a_demoted_member_can_do_less_with_the_next_request(bob: Person) -> None:
    client, by_key = bob.signed_in(), bob.with_key()

    people.change_role(Membership.objects.get(user=bob.user), role=Role.VIEWER, by=bob.user)

    answers = [
        each.post("/api/runs", {"input": "go"}, content_type="application/json").status_code
        for each in (client, by_key)
    ]
    assert answers == [403, 403]
    assert by_key.get("/api/me").json()["role"] == "viewer"


def test_a_new_password_ends_the_other_sessions_and_keeps_this_one(bob: Person) -> None:
    here, there = bob.signed_in(), bob.signed_in()
    new = PASSWORD + " and staple"

    answer = here.post("/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})

    assert answer.status_code == 302
    assert (here.get("/api/me").status_code, there.get("/api/me").status_code) == (200, 401)
    assert AuditEntry.objects.filter(action="person.change_password", actor=bob.user).exists()


def test_signing_in_gives_a_new_session_and_signing_out_ends_it(bob: Person) -> None:
    client = Client()
    client.get("/sign-in")
    session = client.session
    session["planted"] = "by somebody"
    session.save()
    client.cookies["sessionid"] = planted = session.session_key

    client.post("/sign-in", {"username": "bob", "password": PASSWORD})
    granted = client.cookies["sessionid"].value
    inside = client.get("/api/me").status_code
    client.post("/sign-out")

    assert granted != planted
    assert inside == 200
    assert not WebSession.objects.filter(session_key__in=[granted, planted]).exists()
    assert with_cookie(granted).get("/api/me").status_code == 401
    assert with_cookie(planted).get("/api/me").status_code == 401


@pytest.mark.parametrize(
    "value", ["", "short", "x" * 5000, "aaaaaaaa\x00", '"aaaaaaaa\\000"', "'; DROP TABLE", "../../etc"]
)
def test_a_cookie_that_is_no_session_is_nobody(db: None, value: str) -> None:
    answer = with_cookie(value).get("/api/me")

    assert answer.status_code in {400, 401}


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(bob: Person) -> None:
    client = Client()
    client.post("/sign-in", {"username": "bob", "password": PASSWORD})

    cookie = client.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize("name", ["bob", "nobody-of-that-name"])
def test_wrong_passwords_have_to_wait_whoever_they_are_for(bob: Person, name: str) -> None:
    answers = [
        Client().post("/sign-in", {"username": name, "password": WRONG}) for _ in range(throttle.LIMIT_PER_NAME + 1)
    ]

    assert {answer.status_code for answer in answers[:-1]} == {200}
    assert answers[-1].status_code == 429
    assert int(answers[-1]["Retry-After"]) > 0
    assert (
        AuditEntry.objects.filter(action="session.create", object_id=name, outcome="refused").count()
        == throttle.LIMIT_PER_NAME
    )
    assert not AuditEntry.objects.filter(details__icontains=WRONG).exists()


def test_the_right_password_has_to_wait_too(bob: Person) -> None:
    for _ in range(throttle.LIMIT_PER_NAME):
        throttle.record_refusal(username="bob", address=None)

    client = Client()
    answer = client.post("/sign-in", {"username": "bob", "password": PASSWORD})

    assert answer.status_code == 429
    assert client.get("/api/me").status_code == 401


def test_an_address_that_tries_many_names_has_to_wait(bob: Person) -> None:
    for number in range(throttle.LIMIT_PER_ADDRESS):
        throttle.record_refusal(username=f"name{number}", address="127.0.0.1")

    spoofed = Client().post(
        "/sign-in", {"username": "bob", "password": PASSWORD}, headers={"X-Forwarded-For": "10.0.0.9"}
    )
    elsewhere = Client(REMOTE_ADDR="10.0.0.9").post("/sign-in", {"username": "bob", "password": PASSWORD})

    assert (spoofed.status_code, elsewhere.status_code) == (429, 302)


def test_waiting_ends(bob: Person) -> None:
    for _ in range(throttle.LIMIT_PER_NAME):
        throttle.record_refusal(username="bob", address=None)

    throttle.require_patience(username="bob", address=None, at=timezone.now() + throttle.WINDOW + timedelta(seconds=1))


def test_an_unknown_name_is_told_the_same_as_a_wrong_password(bob: Person, django_assert_num_queries: Any) -> None:
    known = Client().post("/sign-in", {"username": "bob", "password": WRONG})
    unknown = Client().post("/sign-in", {"username": "nob", "password": WRONG})
    inactive = User.objects.create_user("gone", password=PASSWORD, is_active=False)
    gone = Client().post("/sign-in", {"username": inactive.username, "password": PASSWORD})

    assert errors(known) == errors(unknown) == errors(gone) != []


def test_an_unknown_name_costs_as_much_as_a_wrong_password(bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time goes into the hash of the password: it is made for both."""
    hashed = []
    hasher = "django.contrib.auth.hashers.PBKDF2PasswordHasher.encode"
    from django.contrib.auth.hashers import PBKDF2PasswordHasher

    encode = PBKDF2PasswordHasher.encode
    monkeypatch.setattr(
        hasher, lambda self, password, salt, iterations=None: hashed.append(password) or encode(self, password, salt, 1)
    )

    for name in ("bob", "nobody-of-that-name"):
        Client().post("/sign-in", {"username": name, "password": WRONG})

    assert hashed == [WRONG, WRONG]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenancy_auditentry SET action = 'nothing'",
        "DELETE FROM tenancy_auditentry",
        "TRUNCATE tenancy_auditentry",
    ],
)
def test_the_database_itself_keeps_the_audit(committed: Cast, statement: str) -> None:
    from django.db import connection

    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_what_is_refused_is_in_the_audit_although_nothing_else_is(victor: Person) -> None:
    victor.with_key().post("/api/runs", {"input": "go"}, content_type="application/json")

    entry = AuditEntry.objects.filter(actor=victor.user, action="run.create").get()
    assert (entry.outcome, entry.organization, entry.via, entry.address) == (
        "refused",
        victor.org,
        victor.api_key[3:15],
        "127.0.0.1",
    )


def get_me(authorization: str) -> Any:
    return Client().get("/api/me", headers={"Authorization": authorization})


def with_cookie(value: str) -> Client:
    client = Client(raise_request_exception=False)
    client.cookies.load({"sessionid": value})
    return client


def errors(answer: Any) -> list[str]:
    return list(answer.context["form"].non_field_errors())
