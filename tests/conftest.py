"""What all tests share: the cast of people, ways to speak for them, and workers.

Alice owns `acme`, Bob is a member and Victor a viewer of it; Charlie owns `rival` and must be refused everything of acme's.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import setup_databases
from django.utils import timezone
from psycopg import sql
from whitenoise.middleware import WhiteNoiseMiddleware

from openintern.database import own_connection_parameters
from openintern.tenancy import keys, people
from openintern.tenancy.models import Organization, User
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import Scope, org_scope
from runs import lifecycle
from runs.models import Event, Run

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Person:
    """Somebody of the cast, with a key of their own."""

    user: User
    org: Organization
    role: Role
    api_key: str

    @property
    def scope(self) -> Scope:
        return Scope(org=self.org, user=self.user, role=self.role, via="test")

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"}

    def with_key(self) -> Client:
        """A client that sends the key."""
        return Client(headers=self.headers, raise_request_exception=False)

    def signed_in(self, *, check_csrf: bool = False) -> Client:
        """A client with a session."""
        client = Client(enforce_csrf_checks=check_csrf, raise_request_exception=False)
        client.force_login(self.user)
        return client


@dataclass(frozen=True)
class Cast:
    alice: Person
    bob: Person
    victor: Person
    charlie: Person


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, made even where no test is marked as using one: some commit for real (`committed`)."""
    with django_db_blocker.unblock():
        [(_, outside, _)] = setup_databases(verbosity=0, interactive=False, aliases={"default"})
    yield
    with django_db_blocker.unblock():
        drop_database(connection.settings_dict["NAME"], outside=outside)


def drop_database(name: str, *, outside: str) -> None:
    """Drop a database although threads of the tests are still connected to it."""
    parameters = {**own_connection_parameters(), "dbname": outside}
    connection.close()
    with psycopg.connect(**parameters, autocommit=True) as maintenance:
        maintenance.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session", autouse=True)
def static_files_are_listed_once() -> Iterator[None]:
    """Every client of Django's loads the middleware anew, and WhiteNoise's looks at each static file as it is loaded."""
    listed: dict[str, Any] = {}
    list_them = WhiteNoiseMiddleware.add_files_from_finders

    def as_the_first_time(middleware: WhiteNoiseMiddleware) -> None:
        if not listed:
            list_them(middleware)
            listed.update(middleware.files)
        middleware.files.update(listed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", as_the_first_time)
        yield


@pytest.fixture(scope="session")
def cast(django_db_setup: None, django_db_blocker: Any) -> Cast:
    """The people of all tests, committed once before the first of them."""
    with django_db_blocker.unblock():
        acme, rival = (people.create_organization(slug) for slug in ("acme", "rival"))
        for org in (acme, rival):  # tests give more tasks in a minute than people do
            org.max_runs_per_minute = 1_000_000
            org.save(update_fields=["max_runs_per_minute"])
        return Cast(
            alice=admit("alice", acme, Role.OWNER),
            bob=admit("bob", acme, Role.MEMBER),
            victor=admit("victor", acme, Role.VIEWER),
            charlie=admit("charlie", rival, Role.OWNER),
        )


def admit(name: str, org: Organization, role: Role) -> Person:
    """Make a person who is in `org`."""
    user, _ = people.create_person(name, org=org, role=role, password=PASSWORD)
    _, text = keys.create_api_key(org=org, user=user)
    return Person(user, org, role, text)


@pytest.fixture
def alice(cast: Cast, db: None) -> Person:
    return cast.alice


@pytest.fixture
def bob(cast: Cast, db: None) -> Person:
    return cast.bob


@pytest.fixture
def victor(cast: Cast, db: None) -> Person:
    return cast.victor


@pytest.fixture
def charlie(cast: Cast, db: None) -> Person:
    return cast.charlie


@pytest.fixture
def committed(cast: Cast, django_db_blocker: Any) -> Iterator[Cast]:
    """The cast, with real commits: for what other processes or connections have to see. Rows stay; use ids of your own."""
    with django_db_blocker.unblock():
        yield cast


@pytest.fixture
def start_run() -> Callable[..., Run]:
    """Start a run in a person's name: `start_run(alice, "text", session_key=…, steps=[…])`.

    `steps` are the answers of the scripted model; without them the mock model answers.
    """

    def start(
        person: Person, text: str = "a task", *, steps: list[dict[str, Any]] | None = None, **options: Any
    ) -> Run:
        if steps is not None:
            options["llm_config"] = {"provider": "scripted", "model": json.dumps(steps)}
        options.setdefault("llm_config", {"provider": "mock"})
        with org_scope(person.org):
            return lifecycle.create_run(person.scope, text=text, at=timezone.now(), **options)

    return start


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root's rights")
    yield disk
    subprocess.run(["umount", disk], check=True)


def events_of(person: Person, run: Run) -> list[Event]:
    """All events of a run, in order."""
    with org_scope(person.org):
        return list(Event.objects.filter(run_id=run.pk).order_by("seq"))


def reload(person: Person, run: Run) -> Run:
    """The run as it stands in the database."""
    with org_scope(person.org):
        return Run.objects.select_related("session").get(pk=run.pk)
