"""The API of connectors: who may, what is refused, and that a secret never comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from connectors import connecting, rest
from connectors.models import SyncJob
from connectors.syncing import polling, working
from openintern.tenancy import people
from openintern.tenancy.models import AuditEntry, Membership, Project
from openintern.tenancy.scope import Scope, org_scope
from tests.conftest import Person
from tests.peers.feishu import Feishu
from tests.peers.feishu.server import APP_ID, APP_SECRET

URL = "/api/feishu/connectors"


def ask(person: Person, method: str, path: str = "", *, project: str = "atlas", **body: Any) -> Any:
    client: Client = person.with_key()
    headers = {"X-Project-Id": project} if project else {}
    data = {"data": body, "content_type": "application/json"} if method != "get" else {}
    return getattr(client, method)(URL + path, headers=headers, **data)


@pytest.fixture
def made(alice: Person, project: Project, peer: Feishu) -> Callable[..., Any]:
    def act(**told: Any) -> Any:
        return ask(alice, "post", **({"name": "Handbook", "base_url": peer.url} | told))

    return act


def test_a_connector_is_made_listed_changed_and_removed(alice: Person, bob: Person, made: Any) -> None:
    answer = made(config={"folder_tokens": ["fldcn1"]})

    assert answer.status_code == 201, answer.content
    connector = answer.json()
    assert connector["id"].startswith("fconn_")
    assert (connector["org_id"], connector["project_id"], connector["status"]) == ("acme", "atlas", "active")
    assert connector["config"] == {
        "folder_tokens": ["fldcn1"], "wiki_space_ids": [], "wiki_node_tokens": [], "file_tokens": [],
        "bitable_app_tokens": [], "poll_interval_seconds": 300, "max_docs_per_sync": 200, "max_records_per_table": 500,
        "include_comments": False, "chunking": {"target_tokens": 600, "max_tokens": 1100, "min_tokens": 120},
    }  # fmt: skip
    path = f"/{connector['id']}"
    assert ask(alice, "get").json()["connectors"][0]["id"] == connector["id"]
    changed = ask(alice, "patch", path, status="paused", config={"file_tokens": ["d" * 27]})
    assert (changed.json()["status"], changed.json()["config"]["folder_tokens"]) == ("paused", [])
    assert ask(alice, "delete", path).status_code == 204
    assert ask(alice, "get", path).status_code == 404


def test_it_is_the_projects_alone(alice: Person, bob: Person, charlie: Person, made: Any) -> None:
    connector = made().json()
    people.create_project("elsewhere", org=alice.org, name="Elsewhere", by=alice.user)

    assert ask(alice, "get", project="elsewhere").json() == {"connectors": []}
    assert ask(alice, "get", f"/{connector['id']}", project="elsewhere").status_code == 404
    without = ask(alice, "get", project="")
    assert (without.status_code, without.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert without.json()["error"]["details"] == {"field": "project_id"}
    people.create_project("atlas", org=charlie.org, name="Atlas", by=charlie.user)
    assert ask(charlie, "get", f"/{connector['id']}").status_code == 404
    assert ask(charlie, "get").json() == {"connectors": []}
    assert ask(charlie, "post", f"/{connector['id']}/sync", wait=False).status_code == 404


def test_only_admins_make_them_and_members_sync(alice: Person, bob: Person, victor: Person, made: Any) -> None:
    connector = made(app_id=APP_ID, app_secret=APP_SECRET).json()
    for person in (bob, victor):
        Membership.objects.get(user=person.user).projects.add(Project.objects.get(slug="atlas", organization=alice.org))

    assert ask(bob, "get").status_code == 200
    assert ask(bob, "post", name="x").status_code == 403
    assert ask(bob, "patch", f"/{connector['id']}", name="x").status_code == 403
    assert ask(bob, "delete", f"/{connector['id']}").status_code == 403
    assert ask(bob, "post", f"/{connector['id']}/sync", wait=False).status_code == 202
    assert ask(victor, "post", f"/{connector['id']}/sync", wait=False).status_code == 403


def test_without_an_app_there_is_nothing_to_sync_with(alice: Person, made: Any) -> None:
    answer = ask(alice, "post", f"/{made().json()['id']}/sync")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "FEISHU_SYNC_DISABLED")


def test_a_sync_is_asked_for_once_and_shown(alice: Person, peer: Feishu, made: Any) -> None:
    peer.world.write("doc1", "The pangolin sleeps.", folder="root")
    connector = made(app_id=APP_ID, app_secret=APP_SECRET, config={"folder_tokens": ["root"]}).json()

    first = ask(alice, "post", f"/{connector['id']}/sync", wait=False)
    second = ask(alice, "post", f"/{connector['id']}/sync", wait=False)

    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert (first.json()["status"], first.json()["trigger"]) == ("pending", "manual")
    with org_scope(alice.org):
        while working.work_next(job_id=first.json()["id"]):
            pass
    [job] = ask(alice, "get", f"/{connector['id']}/jobs?limit=5").json()["jobs"]
    assert (job["status"], job["stats"]["processed"], job["error_message"]) == ("completed", 1, "")
    assert job["stats"]["chunk_count"] > 0
    told = ask(alice, "get", f"/{connector['id']}").json()
    assert told["last_success_at"]
    assert told["last_error"] == ""


def test_who_waits_hears_of_the_end(alice: Person, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connector = made(app_id=APP_ID, app_secret=APP_SECRET).json()

    def work(_seconds: float) -> None:
        working.work_next()

    monkeypatch.setattr(rest.time, "sleep", work)
    job = ask(alice, "post", f"/{connector['id']}/sync").json()

    assert job["status"] == "completed"


def test_a_wait_has_an_end(alice: Person, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "WAITS_SECONDS", 0.0)

    job = ask(alice, "post", f"/{made(app_id=APP_ID, app_secret=APP_SECRET).json()['id']}/sync").json()

    assert job["status"] == "pending"


def test_a_secret_goes_in_and_never_comes_out(alice: Person, made: Any) -> None:
    name = "app_secret"
    secret = "canarySecretOfThisTest"
    created = made(app_id=APP_ID, **{name: secret})
    path = f"/{created.json()['id']}"
    answers = [
        created, ask(alice, "get"), ask(alice, "get", path), ask(alice, "patch", path, **{name: secret + "2"}),
        ask(alice, "patch", path, **{name: secret, "name": ""}), ask(alice, "get", path + "/jobs"),
    ]  # fmt: skip

    assert created.json()[f"has_{name}"] is True
    assert all(secret.encode() not in answer.content for answer in answers)
    assert not AuditEntry.objects.filter(details__icontains=secret).exists()
    with org_scope(alice.org), connection.cursor() as cursor:
        cursor.execute("SELECT to_json(c)::text FROM connectors_connector c")
        assert secret not in str(cursor.fetchall())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9", "http://[::1]:9", "http://0.0.0.0", "http://169.254.169.254", "http://10.0.0.1",
        "http://2130706433", "http://0x7f.1", "http://127.1", "http://[::ffff:127.0.0.1]", "http://me@open.feishu.cn",
        "https://open.feishu.cn#@10.0.0.1", "file:///etc/passwd", "gopher://x", "https://open.feishu.cn/path",
        "http://localhost:9", "", "no address",
    ],
)  # fmt: skip
def test_an_address_inside_is_refused_when_it_is_saved(alice: Person, made: Any, url: str) -> None:
    connector = made().json()

    for answer in (made(base_url=url), ask(alice, "patch", f"/{connector['id']}", base_url=url)):
        assert answer.status_code == 400, url
        assert answer.json()["error"]["details"] == {"field": "base_url"}


def test_an_address_is_judged_again_when_it_is_connected_to(
    scope: Scope, peer: Feishu, connect: Any, sync: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = connect(folder_tokens=["root"])
    server = replace(settings.CONFIG.server, outgoing_allow=())
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))

    job = sync(connector)

    assert (job.status, job.error_code) == ("failed", "FEISHU_ADDRESS_REFUSED")
    assert peer.asked == []


def test_a_redirect_leads_nowhere(peer: Feishu, connect: Any, sync: Any) -> None:
    peer.fail("/drive/v1/files$", status=302, location="http://169.254.169.254/")

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.failed) == ("completed", 1)


def test_at_another_address_the_secret_has_to_be_given_anew(alice: Person, peer: Feishu, made: Any) -> None:
    connector = made(app_id=APP_ID, app_secret=APP_SECRET).json()

    changed = ask(alice, "patch", f"/{connector['id']}", base_url="https://open.feishu.cn")

    assert changed.json()["has_app_secret"] is False


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("name", {"name": ""}), ("name", {"name": "x" * 201}), ("status", {"status": "on"}), ("color", {"color": "red"}),
        ("config", {"config": []}), ("config.color", {"config": {"color": 1}}),
        ("config.folder_tokens.0", {"config": {"folder_tokens": ["../x"]}}),
        ("config.folder_tokens", {"config": {"folder_tokens": ["abcd"] * 101}}),
        ("config.poll_interval_seconds", {"config": {"poll_interval_seconds": 59}}),
        ("config.max_docs_per_sync", {"config": {"max_docs_per_sync": 0}}),
        ("config.max_records_per_table", {"config": {"max_records_per_table": 5001}}),
        ("config.chunking.max_tokens", {"config": {"chunking": {"max_tokens": True}}}),
        ("config.chunking", {"config": {"chunking": {"min_tokens": 700}}}),
        ("app_secret", {"app_secret": "a\nb"}), ("app_id", {"app_id": 7}),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_its_field(made: Any, field: str, told: dict[str, Any]) -> None:
    answer = made(**told)

    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": field}


def test_an_organisation_has_so_many(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "MOST_CONNECTORS", 0)

    assert made().json()["error"]["code"] == "TOO_LARGE"


def test_what_is_due_is_polled_and_nothing_else(alice: Person, scope: Scope, connect: Any) -> None:
    due, paused, bare = connect(), connect(), connect()
    connecting.change(scope, paused.pk, {"status": "paused"})
    connecting.change(scope, bare.pk, {"app_id": ""})

    polling.poll_all()

    polled = SyncJob.objects.filter(connector__in=[due, paused, bare])
    assert [(job.connector_id, job.trigger) for job in polled] == [(due.pk, "poll")]
    while working.work_next(job_id=polled[0].pk):
        pass
    polling.poll_all()
    assert SyncJob.objects.filter(connector=due).count() == 1, "it isn't due yet"
