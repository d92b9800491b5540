"""A Feishu on loopback, connectors to it, and somebody who works off what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from connectors import connecting
from connectors.bot import people as people_there
from connectors.feishu import asking
from connectors.models import Connector, Source, SyncJob
from connectors.syncing import working
from memory.models import Memory
from openintern.tenancy import people
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope, org_scope, public_scope
from tests.conftest import Person
from tests.peers.feishu import Feishu, feishu_peer
from tests.peers.feishu.events import ENCRYPT_KEY, SENDER, VERIFICATION_TOKEN, Letter, event, letter
from tests.peers.feishu.server import APP_ID, APP_SECRET
from tests.peers.mineru import mineru, use_mineru  # noqa: F401  fixtures
from tests.runs.conftest import start_run, work  # noqa: F401  fixtures


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feishu]:
    """A Feishu that the operator lets us reach; pauses between tries are none to speak of."""
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.001)
    with feishu_peer() as peer:
        server = replace(settings.CONFIG.server, outgoing_allow=(peer.place,))
        monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))
        yield peer


@pytest.fixture
def sdk(peer: Feishu, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the official SDK's, that has asked nobody yet: it keeps tokens by app, and every peer is the same app."""
    import lark_oapi
    from lark_oapi.core.cache import LocalCache
    from lark_oapi.core.token import TokenManager

    monkeypatch.setattr(TokenManager, "cache", LocalCache())
    return lark_oapi.Client.builder().app_id(APP_ID).app_secret(APP_SECRET).domain(peer.url).build()


@pytest.fixture
def project(alice: Person) -> Project:
    return people.create_project("atlas", org=alice.org, name="Atlas", by=alice.user)


@pytest.fixture
def scope(alice: Person, project: Project) -> Iterator[Scope]:
    """Alice's, in the project; the test is inside her organisation."""
    with org_scope(alice.org):
        yield replace(alice.scope, project=project)


@pytest.fixture
def connect(scope: Scope, peer: Feishu) -> Callable[..., Connector]:
    """Add a connector to the peer; what is said is its configuration."""

    def act(**config: Any) -> Connector:
        told = {"name": "Handbook", "base_url": peer.url, "app_id": APP_ID, "app_secret": APP_SECRET, "config": config}
        return connecting.add(scope, told)

    return act


@pytest.fixture
def talker(scope: Scope, peer: Feishu) -> Connector:
    """A connector with a bot, to which Alice is known."""
    told = {"name": "Talker", "base_url": peer.url, "app_id": APP_ID, "app_secret": APP_SECRET}
    told |= {"encrypt_key": ENCRYPT_KEY, "verification_token": VERIFICATION_TOKEN}
    connector = connecting.add(scope, told)
    people_there.name(scope, connector, open_id=SENDER, username="alice")
    return connector


@pytest.fixture
def deliver(alice: Person, talker: Connector) -> Callable[..., Any]:
    """Bring a letter of Feishu's, or an event by its type, to the bot."""

    def act(what: Letter | str, told: dict[str, Any] | None = None, /, *, to: str = "", **header: Any) -> Any:
        if isinstance(what, str):
            what = letter(event(what, told or {}, **({"app_id": APP_ID} | header)))
        url = to or f"/connectors/feishu/acme/{talker.pk}/events"
        with public_scope():  # as a request begins
            return Client().post(url, what.body, content_type="application/json", headers=what.headers)

    return act


@pytest.fixture
def sync(scope: Scope) -> Callable[[Connector], SyncJob]:
    """Sync a connector to its end."""

    def act(connector: Connector) -> SyncJob:
        job = connecting.sync(scope, connector.pk)
        for _ in range(50):
            working.work_next(job_id=job.pk)
            job.refresh_from_db()
            if job.is_final or job.note:
                return job
        raise AssertionError("the sync doesn't end")

    return act


def remembered(connector: Connector) -> dict[str, str]:
    """What can be found of a connector's sources, by their keys."""
    rows = Source.objects.filter(connector=connector, memory__forgotten_at__isnull=True, memory__isnull=False)
    return {row.key: row.memory.text for row in rows.select_related("memory") if row.memory}


def current_keys(project: Project) -> set[str]:
    """The source keys of all that the project remembers."""
    everything: Any = Memory.objects
    return set(everything.current().filter(shelf__project=project).values_list("source_key", flat=True))
