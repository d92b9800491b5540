"""A Feishu that is slow, cut, crowded, changed or lying, and workers that are killed: every sync has a named end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from connectors import connecting
from connectors.feishu import asking
from connectors.models import Connector, Listing, Source, SyncJob
from connectors.syncing import asked, leases, working
from connectors.syncing.leases import Hold, Lost
from memory.models import Memory
from openintern.tenancy.scope import Scope
from tests.peers.feishu import Feishu, text

from .conftest import remembered

Connect = Callable[..., Connector]
Sync = Callable[[Connector], SyncJob]


def go_on(job: SyncJob) -> SyncJob:
    """Let the pause be over, and work."""
    SyncJob.objects.filter(pk=job.pk).update(available_at=Now())
    while working.work_next(job_id=job.pk):
        pass
    return SyncJob.objects.get(pk=job.pk)


def settle(peer: Feishu, count: int) -> None:
    for number in range(count):
        peer.world.write(f"doc{number}", f"Words number {number}", folder="root")


@pytest.mark.parametrize(
    ("status", "code"), [(500, 0), (503, 0), (429, 99991400), (400, 99991400), (200, 1254290), (200, 11232)]
)
def test_what_passes_is_asked_again(peer: Feishu, connect: Connect, sync: Sync, status: int, code: int) -> None:
    settle(peer, 2)
    peer.fail("/documents/doc1/blocks", times=2, status=status, code=code)

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.processed, job.failed) == ("completed", 2, 0)
    assert peer.count("/documents/doc1/blocks") == 3


def test_a_connection_that_is_cut_is_made_anew(peer: Feishu, connect: Connect, sync: Sync) -> None:
    settle(peer, 1)
    peer.answer("/documents/doc0/blocks", b'{"code": 0, "data"', cuts=True)

    assert sync(connect(folder_tokens=["root"])).status == "completed"


def test_a_long_crowd_is_waited_for_and_the_page_is_not_lost(peer: Feishu, connect: Connect, sync: Sync) -> None:
    settle(peer, 4)
    peer.page_size = 2
    peer.fail("/drive/v1/files$", times=1, skip=1, status=429, code=99991400, **{"x-ogw-ratelimit-reset": "40"})

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.phase, job.discovered) == ("running", "listing", 2)
    assert "99991400" in job.note
    assert job.available_at > job.updated_at + timedelta(seconds=35)
    assert working.work_next(job_id=job.pk) is None
    peer.asked.clear()
    job = go_on(job)
    assert (job.status, job.processed, job.note) == ("completed", 4, "")
    assert [each.query.get("page_token") for each in peer.asked if each.path.endswith("/files")] == ["p2"]


def test_a_feishu_that_stays_away_ends_the_sync_by_name(peer: Feishu, connect: Connect, sync: Sync) -> None:
    settle(peer, 1)
    peer.fail("/drive/v1/files$", times=1000, status=502)
    job = sync(connect(folder_tokens=["root"]))

    for _ in range(leases.MOST_TRIES):
        job = go_on(job)

    assert (job.status, job.error_code) == ("failed", "GIVEN_UP")
    assert "502" in job.error_message
    assert "502" in Connector.objects.get(pk=job.connector_id).last_error


def test_a_token_that_expired_is_fetched_anew_once(
    peer: Feishu, connect: Connect, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(peer, 3)
    monkeypatch.setattr(asking, "tokens", asking.Tokens())
    connector = connect(folder_tokens=["root"])
    held, go = peer.hold("/documents/doc1/blocks")

    def expire() -> None:
        assert held.wait(10)
        peer.forget_tokens()
        go()

    thread = threading.Thread(target=expire)
    thread.start()
    job = sync(connector)
    thread.join()

    assert (job.status, job.processed, peer.tokens_given) == ("completed", 3, 2)
    assert peer.count("/documents/doc1/blocks") == 2


def test_a_token_that_is_refused_again_ends_the_sync(peer: Feishu, connect: Connect, sync: Sync) -> None:
    peer.refuses_every_token = True

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.error_code, peer.tokens_given) == ("failed", "FEISHU_TOKEN_REFUSED", 2)


def test_a_wrong_secret_ends_the_sync_and_takes_nothing_away(
    peer: Feishu, scope: Scope, connect: Connect, sync: Sync
) -> None:
    settle(peer, 1)
    connector = connect(folder_tokens=["root"])
    sync(connector)
    connecting.change(scope, connector.pk, {"app_secret": "wrong"})

    job = sync(connecting.find(scope, connector.pk))

    assert (job.status, job.error_code) == ("failed", "FEISHU_CREDENTIALS_REFUSED")
    assert remembered(connector)


def test_an_app_that_lacks_a_right_takes_nothing_away(peer: Feishu, connect: Connect, sync: Sync) -> None:
    settle(peer, 1)
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.fail("/drive/v1/files$", status=400, code=99991672)

    job = sync(connector)

    assert (job.status, job.error_code) == ("failed", "FEISHU_SCOPE_MISSING")
    assert remembered(connector)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in</html>",
        b"[]",
        b'{"msg": "no code"}',
        b'{"code": 0, "data": []}',
        b'{"code": 0, "data": {}}',
        b"[" * 100_000,
    ],
)
def test_an_answer_without_sense_fails_its_source_alone(
    peer: Feishu, connect: Connect, sync: Sync, body: bytes
) -> None:
    settle(peer, 2)
    peer.answer("/documents/doc0$", body)

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.processed, job.failed) == ("completed", 1, 1)
    assert Source.objects.get(connector=job.connector, key="docx:doc0").problem == "BAD_ANSWER"


def test_an_answer_without_sense_to_a_list_takes_nothing_away(peer: Feishu, connect: Connect, sync: Sync) -> None:
    settle(peer, 2)
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.answer("/drive/v1/files$", b"<html>Sign in</html>")

    job = sync(connector)

    assert (job.status, job.failed, job.removed) == ("completed", 1, 0)
    assert len(remembered(connector)) == 2


def test_an_answer_that_is_too_large_is_left(
    peer: Feishu, connect: Connect, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(peer, 1)
    monkeypatch.setattr(asking, "MAX_BYTES", 100_000)
    peer.answer("/documents/doc0/blocks", json.dumps({"code": 0, "data": {"items": ["x" * 200_000]}}).encode())

    job = sync(connect(folder_tokens=["root"]))

    assert (job.failed, job.status) == (1, "completed")


@pytest.mark.parametrize("token", ["../../auth", "a/b", "a?b=c", "", 7, None, "x" * 101])
def test_a_token_that_leads_elsewhere_is_not_asked_for(peer: Feishu, connect: Connect, sync: Sync, token: Any) -> None:
    peer.world.folders["root"] = [{"type": "docx", "token": token, "name": "x"}]

    job = sync(connect(folder_tokens=["root"]))

    assert (job.status, job.discovered, job.failed) == ("completed", 0, 1)
    assert peer.count("/documents/") == 0


def test_a_document_that_changes_while_it_is_read_is_stored_as_one_version(
    peer: Feishu, connect: Connect, sync: Sync
) -> None:
    peer.world.write("doc0", *[f"old {number}" for number in range(5)], folder="root")
    peer.page_size = 3
    connector = connect(folder_tokens=["root"])
    held, go = peer.hold("/documents/doc0/blocks")

    def rewrite() -> None:
        assert held.wait(10)
        peer.world.write("doc0", *[f"new {number}" for number in range(5)])
        go()

    thread = threading.Thread(target=rewrite)
    thread.start()
    job = sync(connector)
    thread.join()
    job = go_on(job)

    told = remembered(connector)["docx:doc0"]
    assert ("old" in told, told.count("new")) == (False, 5)
    assert Memory.objects.filter(source_key="docx:doc0").count() == 1
    assert Source.objects.get(connector=connector).revision == "2"


def test_a_document_without_words_leaves_nothing(peer: Feishu, connect: Connect, sync: Sync) -> None:
    settle(peer, 1)
    connector = connect(folder_tokens=["root"])
    sync(connector)
    peer.world.write("doc0", text(""))

    job = sync(connector)

    assert (job.status, job.processed, remembered(connector)) == ("completed", 1, {})


# --- workers


def test_what_a_killed_worker_left_goes_on_where_it_was(
    peer: Feishu, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(peer, 6)
    job = asked.ask(connect(folder_tokens=["root"]), trigger="manual")
    claimed = leases.claim(job.pk)
    assert claimed is not None
    hold = Hold(claimed, lambda: False)
    working.discovering.begin(hold)
    with asking.asker(hold.connector, before_each=hold.keep) as asker:
        for _ in range(5):  # one page, what is over, the unchanged, two documents
            working._step(hold, asker)
    assert SyncJob.objects.get(pk=job.pk).processed == 3
    assert leases.claim(job.pk) is None, "a lease holds"
    peer.asked.clear()

    job = go_on(job)

    assert (job.status, job.processed, job.attempt, job.discovered) == ("completed", 6, 2, 6)
    assert peer.count("/blocks") == 3
    assert len(remembered(job.connector)) == 6
    with pytest.raises(Lost):
        hold.keep()


def test_a_second_worker_gets_no_sync_that_is_claimed(connect: Connect) -> None:
    job = asked.ask(connect(), trigger="manual")

    assert leases.claim() is not None
    assert leases.claim() is None
    assert asked.ask(job.connector, trigger="poll").pk == job.pk, "and nobody starts a second"


def test_a_source_that_takes_its_worker_down_does_not_stop_the_others(
    peer: Feishu, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(peer, 3)
    job = asked.ask(connect(folder_tokens=["root"]), trigger="manual")
    read = working.fetching.reading.read

    def crash(asker: Any, source: Source, config: Any) -> Any:
        if source.token == "doc1":
            raise MemoryError
        return read(asker, source, config)

    monkeypatch.setattr(working.fetching.reading, "read", crash)
    for _ in range(4):
        SyncJob.objects.filter(pk=job.pk).update(available_at=Now())
        try:
            working.work_next(job_id=job.pk)
        except MemoryError:
            continue
    job = go_on(job)

    assert (job.status, job.processed, job.failed) == ("completed", 2, 1)
    assert Source.objects.get(connector=job.connector, token="doc1").problem == "GIVEN_UP"


def test_who_is_to_stop_hands_the_sync_back(peer: Feishu, connect: Connect) -> None:
    settle(peer, 3)
    job = asked.ask(connect(folder_tokens=["root"]), trigger="manual")
    working.work_next(job_id=job.pk, is_stopping=lambda: peer.count("/blocks") >= 1)

    job.refresh_from_db()
    assert (job.status, job.processed) == ("running", 1)
    assert go_on(job).processed == 3


def test_a_slice_has_an_end_so_that_others_have_their_turn(
    peer: Feishu, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(peer, 3)
    monkeypatch.setattr(working, "SLICE_SECONDS", 0.0)
    job = asked.ask(connect(folder_tokens=["root"]), trigger="manual")
    monkeypatch.setattr(working.time, "monotonic", _ticking())

    working.work_next(job_id=job.pk)

    job.refresh_from_db()
    assert (job.status, job.is_final) == ("running", False)
    assert job.available_at <= SyncJob.objects.annotate(now=Now()).get(pk=job.pk).now


def _ticking() -> Callable[[], float]:
    start = time.monotonic()
    return lambda: start


def test_a_connector_that_is_removed_ends_its_sync(peer: Feishu, scope: Scope, connect: Connect) -> None:
    settle(peer, 1)
    connector = connect(folder_tokens=["root"])
    asked.ask(connector, trigger="manual")
    claimed = leases.claim()
    assert claimed is not None

    connecting.remove(scope, connector.pk)

    with pytest.raises(Lost):
        Hold(claimed, lambda: False).keep()
    assert not Listing.objects.filter(job=claimed.pk).exists()
