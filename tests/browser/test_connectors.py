"""Setting a connector up on its page, and watching it sync without a reload."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.conf import settings
from django.db import connections
from playwright.sync_api import expect

from connectors import connecting
from connectors.models import Connector
from connectors.syncing import working
from openintern.ids import random_text
from openintern.tenancy import people
from openintern.tenancy.models import Project
from openintern.tenancy.scope import org_scope
from tests.browser.conftest import Visit
from tests.conftest import Cast
from tests.peers.feishu import Feishu, feishu_peer
from tests.peers.feishu.server import APP_ID, APP_SECRET

pytestmark = pytest.mark.browser


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feishu]:
    with feishu_peer() as peer:
        server = replace(settings.CONFIG.server, outgoing_allow=(peer.place,))
        monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))
        yield peer


@pytest.fixture
def project(committed: Cast) -> Iterator[Project]:
    alice = committed.alice
    project = people.create_project(f"page-{random_text(6).lower()}", org=alice.org, name="Handbook", by=alice.user)
    yield project
    with org_scope(alice.org):
        for connector in Connector.objects.filter(project=project):
            connecting.remove(replace(alice.scope, project=project), connector.pk)


@pytest.fixture
def work(committed: Cast) -> Callable[[], None]:
    """Let a connector process work off what waits, beside the test."""

    def act() -> None:
        def run() -> None:
            try:
                while working.work_round([committed.alice.org]):
                    pass
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()

    return act


def test_a_connector_is_set_up_and_synced_before_ones_eyes(
    visit: Visit, committed: Cast, peer: Feishu, project: Project, work: Callable[[], None]
) -> None:
    peer.world.write(random_text(8), "The pangolin sleeps.", folder="root")
    peer.world.forbidden.add("fldlocked")
    page = visit.sign_in(committed.alice)
    page.goto("/connectors")
    form = page.locator("section", has_text="Add a Feishu connector").locator("form")
    form.get_by_label("Name", exact=True).fill("Team handbook")
    form.get_by_label("Project that shares it").select_option(project.slug)
    form.get_by_label("App id").fill(APP_ID)
    form.get_by_label("App secret").fill(APP_SECRET)
    form.get_by_label("Address").fill(peer.url)
    form.get_by_label("Folders").fill("root\nfldlocked")
    form.get_by_role("button", name="Add the connector").click()
    expect(page.get_by_role("heading", name="Team handbook")).to_be_visible()
    page.goto("/connectors")
    row = page.locator(".budget", has_text="Team handbook")

    row.get_by_role("button", name="Sync now").click()
    expect(row.locator("progress")).to_be_visible()
    work()

    expect(row).to_contain_text("1 read")  # without a reload
    page.get_by_role("link", name="Team handbook").click()
    expect(page.get_by_text("Share it with the app at Feishu")).to_be_visible()
