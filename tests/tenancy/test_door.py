"""The one door into an organisation's schema: what it opens, what it leaves behind, and whom it keeps out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openintern.errors import OpenInternError
from openintern.ids import random_text
from openintern.tenancy import bootstrap, people, schemas
from openintern.tenancy.models import AuditEntry, Membership, Organization, User
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope, public_scope
from runs.models import Run
from tests.conftest import PASSWORD, Cast, Person


def search_path() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        return str(cursor.fetchone()[0])


def where() -> str:
    """The schema in which a table of an organisation is found from here, "" if in none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce((SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('runs_run')), '')"
        )
        return str(cursor.fetchone()[0])


def test_the_door_opens_one_schema_and_closes_it(alice: Person, charlie: Person) -> None:
    with org_scope(alice.org):
        inside = where()
        with org_scope(charlie.org):
            deeper = where()
            with public_scope():
                outside = where()
        back = where()

    assert (inside, deeper, outside, back, where()) == (
        alice.org.schema_name,
        charlie.org.schema_name,
        "",
        alice.org.schema_name,
        "",
    )


def test_an_exception_closes_it_too(alice: Person, charlie: Person) -> None:
    with org_scope(charlie.org):
        with pytest.raises(ZeroDivisionError), org_scope(alice.org):
            raise ZeroDivisionError
        assert where() == charlie.org.schema_name

    assert where() == ""


def test_a_failed_transaction_leaves_nobody_elses_schema_behind(alice: Person, charlie: Person) -> None:
    """PostgreSQL takes a SET back with the transaction it was made in: the path must be set anew."""
    with org_scope(charlie.org):
        assert where() == charlie.org.schema_name
        with pytest.raises(DatabaseError), transaction.atomic(), org_scope(alice.org), connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        assert where() == charlie.org.schema_name
        with org_scope(alice.org):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SELECT no_such_column FROM runs_run")
            assert where() == alice.org.schema_name

    assert where() == ""


MOVES = st.recursive(
    st.sampled_from(["look", "fail", "break"]),
    lambda inner: st.tuples(st.sampled_from(["acme", "rival", "public", "atomic"]), st.lists(inner, max_size=3)),
    max_leaves=12,
)


@given(moves=st.lists(MOVES, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_one_enters_leaves_and_breaks_one_is_where_one_thinks(cast: Cast, db: None, moves: list[Any]) -> None:
    walk(cast, moves, expected="")

    assert where() == ""


def walk(cast: Cast, moves: list[Any], *, expected: str) -> None:
    """Enter and leave as told; look after each move whether the schema is the one expected."""
    for move in moves:
        match move:
            case "look":
                pass
            case "fail":
                with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SELECT 1 / 0")
            case "break":
                with pytest.raises(DatabaseError), org_scope(cast.alice.org), transaction.atomic():
                    connection.cursor().execute("SELECT no_such_column FROM runs_run")
            case ("atomic", inner):
                with transaction.atomic():
                    walk(cast, inner, expected=expected)
            case ("public", inner):
                with public_scope():
                    walk(cast, inner, expected="")
            case (name, inner):
                org = cast.alice.org if name == "acme" else cast.charlie.org
                with org_scope(org):
                    walk(cast, inner, expected=org.schema_name)
        assert where() == expected


def test_a_new_thread_starts_outside_every_organisation(committed: Cast) -> None:
    seen = []

    def look() -> None:
        seen.append(where())
        with org_scope(committed.charlie.org):
            seen.append(where())
        connection.close()

    with org_scope(committed.alice.org):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert seen == ["", committed.charlie.org.schema_name]


def test_a_new_connection_is_in_the_organisation_one_is_in(committed: Cast) -> None:
    with org_scope(committed.alice.org):
        before = where()
        connection.close()
        after = where()

    assert before == after == committed.alice.org.schema_name


def test_no_schema_and_an_older_schema_are_not_entered(alice: Person) -> None:
    missing = Organization(slug="missing", migrated_to=schemas.fingerprint())
    older = Organization(slug="older", schema_name=alice.org.schema_name, migrated_to="an older one")

    for org in (missing, older):
        with pytest.raises(OpenInternError) as refused, org_scope(org):
            pytest.fail("entered")
        assert (refused.value.code, refused.value.status) == ("UNAVAILABLE", 503)
    assert search_path().startswith("public")


@pytest.mark.parametrize("path", ["/api/runs", "/", "/runs", "/api/runs/run_x/stream"])
def test_an_organisation_that_is_behind_answers_503_and_the_doors_still_open(committed: Cast, path: str) -> None:
    client = committed.bob.signed_in()
    Organization.objects.filter(pk=committed.bob.org.pk).update(migrated_to="an older one")
    try:
        answer = client.get(path)
        assert answer.status_code == 503
        assert int(answer["Retry-After"]) > 0
        assert client.get("/sign-in").status_code in {200, 302}
        assert client.post("/sign-out").status_code == 302
    finally:
        Organization.objects.filter(pk=committed.bob.org.pk).update(migrated_to=schemas.fingerprint())


@pytest.fixture
def new_slug(committed: Cast) -> Iterator[Callable[[], str]]:
    """Names for organisations that are dropped after the test."""
    slugs: list[str] = []

    def name() -> str:
        slugs.append("door-" + random_text(8).lower())
        return slugs[-1]

    yield name
    for org in Organization.objects.filter(slug__in=slugs):
        schemas.drop(org)


def test_a_schema_is_never_named_by_a_person(new_slug: Callable[[], str]) -> None:
    slug = new_slug()

    org = people.create_organization(slug, name='a","b')

    assert slug not in org.schema_name
    assert org.schema_name.startswith("org_")


def test_migrating_touches_only_those_behind(new_slug: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    behind, current = people.create_organization(new_slug()), people.create_organization(new_slug())
    Organization.objects.filter(pk=behind.pk).update(migrated_to="an older one")
    touched: list[str] = []
    create = schemas.create
    monkeypatch.setattr(schemas, "create", lambda org: touched.append(org.slug) or create(org))

    call_command("migrate_schemas", verbosity=0)

    behind.refresh_from_db()
    assert touched == [behind.slug]
    assert schemas.is_current(behind)
    assert schemas.is_current(current)


def test_one_that_cannot_be_migrated_does_not_stop_the_others(
    new_slug: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = people.create_organization(new_slug()), people.create_organization(new_slug())
    Organization.objects.filter(pk__in=[bad.pk, good.pk]).update(migrated_to="an older one")
    create, err = schemas.create, StringIO()

    def fail_for_bad(org: Organization) -> None:
        if org.pk == bad.pk:
            raise DatabaseError("disk full")
        create(org)

    monkeypatch.setattr(schemas, "create", fail_for_bad)

    with pytest.raises(CommandError, match=bad.slug):
        call_command("migrate_schemas", verbosity=0, stderr=err)

    assert schemas.behind() == [bad]
    assert f"{bad.slug}: disk full" in err.getvalue()


def test_an_organisation_that_was_half_made_is_finished_by_the_next_migration(
    new_slug: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slug = new_slug()
    with monkeypatch.context() as patched:
        patched.setattr(schemas, "migrate", lambda org: (_ for _ in ()).throw(DatabaseError("the power went")))
        with pytest.raises(DatabaseError):
            people.create_organization(slug)
    org = Organization.objects.get(slug=slug)
    with pytest.raises(OpenInternError), org_scope(org):
        pytest.fail("entered")

    call_command("migrate_schemas", verbosity=0)

    org.refresh_from_db()
    with org_scope(org):
        assert not Run.objects.exists()


def test_a_second_organisation_of_a_name_is_refused(new_slug: Callable[[], str]) -> None:
    slug = new_slug()
    call_command("create_org", slug, stdout=StringIO())

    with pytest.raises(CommandError, match="already"):
        call_command("create_org", slug)


def test_commands_let_people_in(new_slug: Callable[[], str], client: Any) -> None:
    slug, name, out = new_slug(), "dora-" + random_text(6), StringIO()
    call_command("create_org", slug, stdout=out)
    call_command("create_user", name, org=slug, role="owner", password=PASSWORD, stdout=out)
    assert PASSWORD not in out.getvalue()

    key = StringIO()
    call_command("create_api_key", org=slug, user=name, scopes="read", expires="2999-01-01", stdout=key)

    me = client.get("/api/me", headers={"Authorization": f"Bearer {key.getvalue().strip()}"}).json()
    assert (me["org_id"], me["user_id"], me["role"]) == (slug, name, "owner")
    with pytest.raises(CommandError, match="not found"):
        call_command("create_api_key", org=slug, user="bob")
    with pytest.raises(CommandError, match="Unknown scope"):
        call_command("create_api_key", org=slug, user=name, scopes="everything")
    User.objects.filter(username=name).update(is_active=False)
    with pytest.raises(CommandError, match="not found"):
        call_command("create_api_key", org=slug, user=name)


def test_a_generated_password_is_told_once(new_slug: Callable[[], str]) -> None:
    slug, name, out = new_slug(), "dora-" + random_text(6), StringIO()
    call_command("create_org", slug, stdout=StringIO())

    call_command("create_user", name, org=slug, role="viewer", stdout=out)

    password = out.getvalue().split("Password (shown once): ")[1].strip()
    assert User.objects.get(username=name).check_password(password)
    with pytest.raises(CommandError, match="already"):
        call_command("create_user", name, org=slug, role="viewer")


def test_the_first_start_makes_its_people_once(db: None) -> None:
    AuditEntry.objects.count()
    first = bootstrap.ensure_first_organization()  # the cast is there: nothing is made

    assert first.password is None
    assert first.org == Organization.objects.order_by("pk").first()


def test_the_last_owner_who_can_sign_in_stays(alice: Person, bob: Person) -> None:
    own = Membership.objects.get(user=alice.user)
    people.change_role(Membership.objects.get(user=bob.user), role=Role.OWNER, by=alice.user)
    people.deactivate(bob.user, by=alice.user)

    with pytest.raises(OpenInternError, match="one owner"):
        people.change_role(own, role=Role.MEMBER, by=alice.user)
    with pytest.raises(OpenInternError, match="one owner"):
        people.remove_member(own, by=alice.user)


def test_two_owners_cannot_both_step_down_at_once(committed: Cast, new_slug: Callable[[], str]) -> None:
    org = people.create_organization(new_slug())
    owners = [people.add_member(each.user, org=org, role=Role.OWNER) for each in (committed.alice, committed.bob)]
    refused: list[str] = []
    ready = threading.Barrier(2)

    def step_down(membership: Membership) -> None:
        ready.wait()
        try:
            people.change_role(membership, role=Role.VIEWER, by=membership.user)
        except OpenInternError as error:
            refused.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=step_down, args=[each]) for each in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert refused == ["CONFLICT"]
    assert Membership.objects.filter(organization=org, role=Role.OWNER).count() == 1


POOL = """
import os, random, threading
import django
django.setup()
from django.conf import settings
from django.db import connection
settings.ALLOWED_HOSTS.append("testserver")
from django.test import Client

assert connection.settings_dict["OPTIONS"]["pool"], "no pool"
keys = os.environ["POOL_KEYS"].split()
wrong, done = [], []

def ask(seed):
    for number in range(63):
        whose = random.Random(seed * 1000 + number).randrange(2)
        client = Client(headers={"Authorization": f"Bearer {keys[whose]}"})
        answer = client.get("/api/runs?q=pooled")
        assert answer.status_code == 200, answer.content
        inputs = {run["input"] for run in answer.json()["runs"]}
        done.append(whose)
        if inputs != {f"pooled {whose}"}:
            wrong.append((whose, inputs))
        connection.close()  # as the end of a request does: back into the pool

threads = [threading.Thread(target=ask, args=[seed]) for seed in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not wrong, wrong[:5]
assert {0, 1} == set(done)
print(len(done))
"""


def test_pooled_connections_carry_nothing_from_one_organisation_to_another(
    committed: Cast, start_run: Callable[..., Run]
) -> None:
    people_ = (committed.alice, committed.charlie)
    for number, person in enumerate(people_):
        start_run(person, f"pooled {number}", session_key="s_pooled")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "openintern.settings",
        "OPENINTERN_DATABASE_POOL": "on",
        "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])
        ._replace(path="/" + connection.settings_dict["NAME"])
        .geturl(),
        "POOL_KEYS": " ".join(person.api_key for person in people_),
    }

    asked = subprocess.run(
        [sys.executable, "-c", POOL], env=environment, capture_output=True, text=True, timeout=300, check=False
    )

    assert asked.returncode == 0, asked.stderr[-2000:]
    assert int(asked.stdout.split()[-1]) == 504
