"""The connector as a process: woken by a wish, killed in the middle of a sync, and taken up by another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from connectors import connecting
from connectors.bot import people as people_there
from connectors.bot import saying
from connectors.models import BotMessage, SyncJob
from memory.models import Memory
from openintern import secret_store
from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.scope import org_scope, public_scope
from runs.models import Run
from runs.queue.models import Ticket
from tests.conftest import Cast
from tests.peers.feishu import Feishu
from tests.peers.feishu.events import ENCRYPT_KEY, SENDER, VERIFICATION_TOKEN, event, letter, message
from tests.peers.feishu.server import APP_ID, APP_SECRET

ROOT = Path(__file__).resolve().parents[2]


def wait_until(claim: Callable[[], Any], *, within: float = 120.0) -> Any:
    ends_at = time.monotonic() + within
    while not (found := claim()):
        assert time.monotonic() < ends_at, "it didn't come in time"
        time.sleep(0.02)
    return found


@pytest.fixture
def start(
    peer: Feishu, tmp_path: Path, committed: Cast, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start connectors, with the keys that the test seals with; whatever is left of them is ended."""
    monkeypatch.setenv(secret_store.VARIABLE, Fernet.generate_key().decode())
    secret_store.forget_keys()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environ = os.environ | {"DATABASE_URL": database, "DATA_DIR": str(tmp_path), "OUTGOING_ALLOW": peer.place}
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "connector", *arguments]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
    monkeypatch.delenv(secret_store.VARIABLE)
    secret_store.forget_keys()


@pytest.mark.slow
def test_a_sync_that_is_killed_goes_on_without_a_duplicate(peer: Feishu, committed: Cast, start: Any) -> None:
    alice, mark = committed.alice, random_text(8)
    for number in range(8):
        peer.world.write(f"{mark}{number}", f"Words number {number} of {mark}", folder="root")
    held, go = peer.hold(f"/documents/{mark}4/blocks")
    project = people.create_project(f"killed-{mark.lower()}", org=alice.org, name="Killed", by=alice.user)
    scope = replace(alice.scope, project=project)
    told = {"name": "Killed", "base_url": peer.url, "app_id": APP_ID, "app_secret": APP_SECRET}
    with org_scope(alice.org):
        connector = connecting.add(scope, {**told, "config": {"folder_tokens": ["root"]}})
        first = start()
        job = connecting.sync(scope, connector.pk)
        assert held.wait(120)

        first.send_signal(signal.SIGKILL)
        first.wait()
        go()
        SyncJob.objects.filter(pk=job.pk).update(available_at=Now())  # as its lease will be over in a minute
        peer.asked.clear()
        second = start()
        wait_until(lambda: SyncJob.objects.get(pk=job.pk).is_final)

        done = SyncJob.objects.get(pk=job.pk)
        assert (done.status, done.processed, done.discovered) == ("completed", 8, 8)
        assert done.attempt >= 2, "on a slow machine the second one takes it up again after each slice"
        assert peer.count("/drive/v1/files$") == 0, "what was listed isn't listed again"
        assert peer.count("/blocks") == 4, "what was read isn't read again"
        found = Memory.objects.filter(source_key__startswith=f"docx:{mark}").values_list("source_key", flat=True)
        assert sorted(found) == [f"docx:{mark}{number}" for number in range(8)]
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
        connecting.remove(scope, connector.pk)


def test_the_request_line_is_what_the_sdk_itself_sends(peer: Feishu, sdk: Any) -> None:
    """The official client speaks to the peer as to the real one: its paths, parameters and answers are those."""
    from lark_oapi.api.bitable.v1 import SearchAppTableRecordRequest, SearchAppTableRecordRequestBody
    from lark_oapi.api.docx.v1 import ListDocumentBlockRequest
    from lark_oapi.api.drive.v1 import ListFileRequest
    from lark_oapi.api.wiki.v2 import GetNodeSpaceRequest

    from tests.peers.feishu.world import Node, Table

    peer.world.write("doc1", "Words", folder="root")
    peer.world.nodes["wiki1"] = Node("wiki1", "docx", "doc1", "Page")
    peer.world.apps["base"] = {"tbl1": Table("T", [("Name", 1)], [{"Name": "x"}])}

    files = sdk.drive.v1.file.list(ListFileRequest.builder().folder_token("root").page_size(200).build())
    node = sdk.wiki.v2.space.get_node(GetNodeSpaceRequest.builder().token("wiki1").build())
    blocks = sdk.docx.v1.document_block.list(
        ListDocumentBlockRequest.builder().document_id("doc1").page_size(500).build()
    )
    body = SearchAppTableRecordRequestBody.builder().automatic_fields(False).build()
    search = SearchAppTableRecordRequest.builder().app_token("base").table_id("tbl1").page_size(500).request_body(body)
    records = sdk.bitable.v1.app_table_record.search(search.build())

    assert files.data.files[0].token == "doc1"
    assert node.data.node.obj_token == "doc1"
    assert blocks.data.items[1].text.elements[0].text_run.content == "Words"
    assert records.data.items[0].fields == {"Name": "x"}
    assert (files.code, node.code, blocks.code, records.code) == (0, 0, 0, 0)


@pytest.mark.slow
def test_an_answer_that_is_cut_off_is_said_once(peer: Feishu, committed: Cast, start: Any) -> None:
    """Killed when Feishu has the reply and we haven't noted it: whoever goes on sends it under the same id."""
    alice, mark = committed.alice, random_text(8)
    held, go = peer.hold("/reply$")
    project = people.create_project(f"talks-{mark.lower()}", org=alice.org, name="Talks", by=alice.user)
    scope = replace(alice.scope, project=project)
    told = {"name": "Talks", "base_url": peer.url, "app_id": APP_ID, "app_secret": APP_SECRET}
    told |= {"encrypt_key": ENCRYPT_KEY, "verification_token": VERIFICATION_TOKEN}
    with org_scope(alice.org):
        connector = connecting.add(scope, told)
        people_there.name(scope, connector, open_id=SENDER, username="alice")
    first = start()
    sent = letter(event("im.message.receive_v1", message(f"@_user_1 {mark}"), app_id=APP_ID))
    url = f"/connectors/feishu/acme/{connector.pk}/events"
    assert Client().post(url, sent.body, content_type="application/json", headers=sent.headers).status_code == 200

    with org_scope(alice.org):
        mine = BotMessage.objects.filter(connector=connector)
        row = wait_until(lambda: mine.exclude(run_id="").first())
        with public_scope():
            Ticket.objects.filter(run_id=row.run_id).delete()
        Run.objects.filter(pk=row.run_id).update(status="completed", output=f"Said {mark}.", ended_at=Now())
        assert held.wait(60)
        first.send_signal(signal.SIGKILL)
        first.wait()
        go()
        wait_until(lambda: peer.world.said)
        mine.update(available_at=Now())  # as its lease will be over in a minute
        second = start()
        wait_until(lambda: mine.filter(state="answered").exists())

        assert peer.count("/reply$") == 2
        assert [said.content["zh_cn"]["content"][0][0]["text"] for said in peer.world.said] == [f"Said {mark}."]
        assert Run.objects.filter(session__key=saying.session_key(row)).count() == 1
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
        connecting.remove(scope, connector.pk)
