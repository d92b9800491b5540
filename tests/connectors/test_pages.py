"""The pages of connectors: what each role sees and can do, and that secrets are written only."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from connectors import connecting
from connectors.models import Connector, Source, SyncJob
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import Scope, org_scope
from tests.conftest import Person
from tests.peers.feishu import Feishu
from tests.peers.feishu.server import APP_ID, APP_SECRET

FORM = {"name": "Handbook", "project": "atlas", "app_id": APP_ID, "app_secret": APP_SECRET}


@pytest.fixture
def handbook(connect: Callable[..., Connector], peer: Feishu) -> Connector:
    peer.world.write("doc1", "Words", folder="root", title="<script>alert(1)</script>")
    return connect(folder_tokens=["root"])


def test_where_there_is_no_project_the_way_to_one_is_shown(alice: Person) -> None:
    Project.objects.filter(organization=alice.org).delete()
    client = alice.signed_in()

    page = client.get("/connectors").content.decode()

    assert 'href="/admin/tenancy/project/add/"' in page
    assert client.get("/admin/tenancy/project/add/").status_code == 200


def test_a_connector_is_added_on_the_page(alice: Person, project: Project, peer: Feishu) -> None:
    client = alice.signed_in()
    form = FORM | {"base_url": peer.url, "folder_tokens": "https://acme.feishu.cn/drive/folder/fldcn1\nfldcn2"}

    answer = client.post("/connectors", form, follow=True)

    assert answer.status_code == 200, answer.content.decode()[-500:]
    with org_scope(alice.org):
        made = Connector.objects.get(name="Handbook")
    assert made.config["folder_tokens"] == ["fldcn1", "fldcn2"]
    assert made.app_secret.reveal() == APP_SECRET
    assert APP_SECRET not in answer.content.decode()
    assert "Handbook" in client.get("/connectors").content.decode()


def test_what_is_refused_stands_beside_its_field(alice: Person, project: Project) -> None:
    answer = alice.signed_in().post("/connectors", FORM | {"base_url": "http://10.0.0.1"})

    assert answer.status_code == 400
    assert "not a public address" in answer.content.decode()
    assert APP_SECRET not in answer.content.decode()


def test_a_change_without_a_secret_keeps_it(alice: Person, scope: Scope, handbook: Connector, peer: Feishu) -> None:
    form = FORM | {"app_secret": "", "base_url": peer.url, "folder_tokens": "root", "name": "Renamed"}
    alice.signed_in().post(f"/connectors/{handbook.pk}", form)

    changed = connecting.find(scope, handbook.pk)
    assert (changed.name, changed.app_secret.reveal()) == ("Renamed", APP_SECRET)


def test_a_sync_is_started_watched_and_seen_through(
    alice: Person, handbook: Connector, sync: Any, peer: Feishu
) -> None:
    client = alice.signed_in()
    client.post(f"/connectors/{handbook.pk}/sync")
    under_way = client.get("/connectors").content.decode()
    assert 'data-progress="/api/feishu/connectors/progress"' in under_way
    assert "<progress" in under_way

    sync(handbook)
    peer.world.forbidden.add("doc1")
    Source.objects.filter(connector=handbook).update(read_marker="", revision="")
    sync(handbook)

    page = client.get(f"/connectors/{handbook.pk}").content.decode()
    assert "data-progress" not in client.get("/connectors").content.decode()
    assert "Share it with the app at Feishu" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_it_is_paused_resumed_and_removed(alice: Person, scope: Scope, handbook: Connector) -> None:
    client = alice.signed_in()

    client.post(f"/connectors/{handbook.pk}/do/pause")
    assert connecting.find(scope, handbook.pk).status == "paused"
    client.post(f"/connectors/{handbook.pk}/do/resume")
    assert connecting.find(scope, handbook.pk).status == "active"
    assert client.post(f"/connectors/{handbook.pk}/do/explode").status_code == 400
    client.post(f"/connectors/{handbook.pk}/remove")
    assert not Connector.objects.filter(pk=handbook.pk).exists()


def test_members_sync_and_see_no_form_and_viewers_only_look(
    bob: Person, victor: Person, handbook: Connector, project: Project
) -> None:
    for person, may_sync in ((bob, True), (victor, False)):
        Membership.objects.get(user=person.user).projects.add(project)
        client = person.signed_in()
        page = client.get("/connectors").content.decode()
        assert ("Sync now" in page) == may_sync
        assert "new-connector" not in page
        assert client.post("/connectors", FORM).status_code == 403
        assert client.post(f"/connectors/{handbook.pk}/sync").status_code == (302 if may_sync else 403)


def test_strangers_find_nothing(charlie: Person, handbook: Connector) -> None:
    client = charlie.signed_in()

    assert "Handbook" not in client.get("/connectors").content.decode()
    assert client.get(f"/connectors/{handbook.pk}").status_code == 404
    assert client.post(f"/connectors/{handbook.pk}/sync").status_code == 404


def test_the_admin_shows_that_there_is_a_secret_and_not_which(alice: Person, handbook: Connector) -> None:
    client = alice.signed_in()

    page = client.get(f"/admin/connectors/connector/{handbook.pk}/change/").content.decode()

    assert "icon-yes" in page
    assert APP_SECRET not in page
    assert handbook.app_secret.token not in page
    assert client.get("/admin/connectors/syncjob/").status_code == 200


def test_the_command_lists_and_syncs(alice: Person, victor: Person, handbook: Connector) -> None:
    listed, synced = StringIO(), StringIO()
    asker = {"org": "acme", "user": "alice"}

    call_command("feishu", stdout=listed, **asker)
    call_command("feishu", sync=handbook.pk, stdout=synced, **asker)

    assert handbook.pk in listed.getvalue()
    assert "processed 1" in synced.getvalue()
    assert SyncJob.objects.get(connector=handbook).status == "completed"
    with pytest.raises(CommandError):
        call_command("feishu", sync=handbook.pk, org="acme", user="victor")
    with pytest.raises(CommandError):
        call_command("feishu", sync="fconn_never", **asker)
