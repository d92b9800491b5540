"""How far syncs and PDFs are, over a real connection: told when it changes, to who may see it, to the end."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from connectors import connecting
from connectors.mineru import ending
from connectors.models import Connector, PdfFile, PdfJob, SyncJob
from connectors.syncing import leases
from openintern.live import watch
from openintern.tenancy import people
from openintern.tenancy.models import Membership
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast, admit
from tests.live.conftest import Server
from tests.live.sse import Tap
from tests.runs.conftest import eventually

Browse = Callable[..., Tap]
SYNCS = "/api/feishu/connectors/progress"
BATCHES = "/api/mineru/ingest-batch/progress"
_number = itertools.count()


@pytest.fixture(autouse=True)
def rung_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told by looking from time to time: it has to be rung."""
    monkeypatch.setattr(watch, "CHECK", 600.0)
    monkeypatch.setattr(watch, "PAUSE", 0.02)


@dataclass
class Sync:
    """A sync whose worker is the test."""

    connector: Connector
    job: SyncJob
    hold: leases.Hold

    @property
    def url(self) -> str:
        return f"/api/feishu/connectors/{self.connector.pk}/progress"

    def get_on(self, **changes: int) -> None:
        with org_scope(self.connector.project.organization):
            self.hold.get_on(**changes)

    def end(self) -> None:
        with org_scope(self.connector.project.organization):
            self.hold.end(status=SyncJob.Status.COMPLETED)


@pytest.fixture
def sync(committed: Cast) -> Iterator[Sync]:
    alice = committed.alice
    project = people.create_project(f"live-{next(_number)}", org=alice.org, name="Live", by=alice.user)
    with org_scope(alice.org):
        told = {"name": "Live", "app_id": "cli_1", "app_secret": "aSecretOfTheApp1", "config": {}}
        connector = connecting.add(replace(alice.scope, project=project), told)
        asked = connecting.sync(alice.scope, connector.pk)
        job = leases.claim(asked.pk)
        assert job is not None
    yield Sync(connector, job, leases.Hold(job, lambda: False))
    with org_scope(alice.org):
        Connector.objects.filter(pk=connector.pk).delete()


@pytest.fixture
def batch(committed: Cast) -> Iterator[PdfJob]:
    """Two PDFs that nobody reads: their time is far ahead."""
    with org_scope(committed.alice.org):
        job = PdfJob.objects.create(user=committed.alice.user, mode="v4")
        for index in range(2):
            PdfFile.objects.create(
                job=job, file_index=index, filename=f"{index}.pdf", source_key="k",
                available_at=timezone.now() + timedelta(days=1),
            )  # fmt: skip
    yield job
    with org_scope(committed.alice.org):
        job.delete()


@pytest.fixture
def seats(server: Server) -> int:
    """How many seats others hold, that the collector hasn't got to know of."""
    gc.collect()
    return int(server.call(watch.watch_count))


def told(tap: Tap) -> list[str]:
    return [sent.event for sent in tap.sent if sent.event != "ping"]


def settled_of(job: str) -> Callable[[Tap], list[int]]:
    return lambda tap: [sent.data["stats"]["processed"] for sent in tap.sent if sent.data.get("id") == job]


def test_a_sync_is_followed_live_until_it_is_over(browse: Browse, sync: Sync) -> None:
    tap = browse(sync.url)
    seen = settled_of(sync.job.pk)
    tap.wait_for(lambda tap: seen(tap) == [0])

    sync.get_on(discovered=3, processed=2)
    tap.wait_for(lambda tap: seen(tap) == [0, 2])
    sync.end()
    tap.to_the_end()

    assert tap.headers["content-type"].startswith("text/event-stream")
    assert told(tap) == ["progress", "progress", "progress", "done"]
    assert [sent.data["status"] for sent in tap.sent[:3]] == ["running", "running", "completed"]
    assert tap.sent[-1].data == {"connector_id": sync.connector.pk}


def test_all_that_is_in_sight_is_followed_in_one_stream(browse: Browse, sync: Sync) -> None:
    tap = browse(SYNCS)
    seen = settled_of(sync.job.pk)
    tap.wait_for(lambda tap: seen(tap) == [0])

    sync.get_on(processed=1)

    tap.wait_for(lambda tap: seen(tap) == [0, 1])


def test_where_nothing_is_under_way_the_stream_ends_at_once(browse: Browse, sync: Sync) -> None:
    sync.end()

    assert told(browse(sync.url).to_the_end()) == ["progress", "done"]


def test_a_batch_is_followed_live_until_it_is_done(browse: Browse, committed: Cast, batch: PdfJob) -> None:
    tap = browse(f"/api/mineru/ingest-batch/{batch.pk}/progress").wait_for(lambda tap: len(tap.sent) == 2)
    every = browse(BATCHES).wait_for(lambda tap: sum(each.data.get("job_id") == batch.pk for each in tap.sent) == 2)

    with org_scope(committed.alice.org):
        for file in batch.files.all():
            ending.fail(file, "MINERU_FAILED", "It could not be read")
    tap.to_the_end()

    assert told(tap) == ["progress"] * 4 + ["done"]
    assert {sent.data.get("status") for sent in tap.sent[2:4]} == {"failed"}
    every.wait_for(lambda tap: sum(sent.data.get("status") == "failed" for sent in tap.sent) >= 2)


def test_nobody_else_is_told(
    browse: Browse, committed: Cast, server: Server, sync: Sync, batch: PdfJob, seats: int
) -> None:
    outsider = admit(f"progress-{next(_number)}", committed.alice.org, Role.MEMBER)
    for url in (sync.url, f"/api/mineru/ingest-batch/{batch.pk}/progress"):
        for person in (committed.charlie, outsider):  # of another organisation; of no project
            assert httpx.get(server.url + url, headers=person.headers).status_code == 404
        assert httpx.get(server.url + url).status_code == 401
    for url in (SYNCS, BATCHES):
        heard = browse(url, by=outsider).to_the_end()
        assert told(heard) == ["done"]
    eventually(lambda: server.call(watch.watch_count) <= seats)


def test_who_loses_the_right_loses_the_stream(
    browse: Browse, committed: Cast, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECK", 0.1)
    dora = admit(f"progress-{next(_number)}", committed.alice.org, Role.MEMBER)
    Membership.objects.get(user=dora.user).projects.add(sync.connector.project)
    tap = browse(sync.url, by=dora).wait_for(lambda tap: len(tap.sent) == 1)

    people.remove_member(Membership.objects.get(user=dora.user), by=committed.alice.user)
    tap.to_the_end(seconds=10)
    sync.get_on(processed=1)

    assert told(tap) == ["progress"]


def test_a_full_house_answers_503_and_a_free_seat_is_given_again(
    browse: Browse, api: httpx.Client, server: Server, sync: Sync, seats: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST", seats + 1)
    first = browse(sync.url).wait_for(lambda tap: len(tap.sent) == 1)

    refused = api.get(sync.url)
    first.close()
    eventually(lambda: server.call(watch.watch_count) <= seats)

    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert browse(sync.url).wait_for(lambda tap: len(tap.sent) == 1).status == 200
