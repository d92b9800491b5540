"""Clusters, a provider and an outside world that a test can break."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection

from openintern.tenancy.scope import public_scope
from runs.queue.models import Cluster, Ticket, Turn
from runs.tools import registry
from tests.conftest import Cast, Person
from tests.faults.history import History
from tests.faults.installation import CANARY, HttpClient, Installation, installed
from tests.faults.processes import WorkerCluster
from tests.peers.effects import Outside, the_outside
from tests.peers.llm import Peer, llm_peer


@pytest.fixture(scope="session")
def peer() -> Iterator[Peer]:
    with llm_peer() as peer:
        yield peer


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    with the_outside() as outside:
        yield outside


@pytest.fixture
def alice(committed: Cast) -> Person:
    return committed.alice


@pytest.fixture(scope="module")
def environ(cast: Cast, peer: Peer, outside: Outside) -> dict[str, str]:
    """What a worker process is told."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    told = {
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "EFFECTS_URL": outside.url,
        "LLM_PROVIDER": "openai",
        "LLM_BASE_URL": f"{peer.url}/v1",
        "LLM_API_KEY": CANARY,
        "OPENINTERN_WORKERS": "8",
    }
    return os.environ | told


@pytest.fixture(scope="session")
def installation(peer: Peer, outside: Outside) -> Iterator[Installation]:
    """Processes of its own, database included, that serve and work. Tests leave it whole."""
    told = {
        "EFFECTS_URL": outside.url,
        "LLM_PROVIDER": "openai",
        "LLM_BASE_URL": f"{peer.url}/v1",
        "AGENT_MAX_STEPS": "40",
    }
    with installed(**told) as made:
        made.start_web()
        made.start_workers(4)
        yield made


@pytest.fixture(scope="session")
def programs(installation: Installation) -> list[HttpClient]:
    """Programs of two organisations, one of a person each."""
    clients = [installation.organisation(slug) for slug in ("acme", "rival")]
    installation.wait_ready()
    return clients


@pytest.fixture
def there(programs: list[HttpClient], peer: Peer, outside: Outside) -> History:
    """What happens in that installation, to the first organisation, in this test."""
    return History(programs[0], peer, outside, is_blind=True, secrets={CANARY})


@pytest.fixture
def start_cluster(
    environ: dict[str, str], committed: Cast, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., WorkerCluster]]:
    """Start a cluster of one's own; whatever is left of it at the end is killed."""
    started: list[WorkerCluster] = []
    empty_queue()

    def start(*, workers: int = 2, **told: str) -> WorkerCluster:
        log = tmp_path_factory.mktemp("cluster") / "log"
        started.append(WorkerCluster(environ={**environ, "OPENINTERN_WORKERS": str(workers), **told}, log=log))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def shared_cluster(
    environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[WorkerCluster]:
    """One cluster of eight workers for all tests of a module that leave it whole."""
    with django_db_blocker.unblock():
        empty_queue()
        cluster = WorkerCluster(environ=environ, log=tmp_path_factory.mktemp("cluster") / "log")
        cluster.wait_ready()
    yield cluster
    cluster.kill()


def empty_queue() -> None:
    """Forget what other tests left: tickets, and clusters that are dead."""
    with public_scope():
        Ticket.objects.all().delete()
        Turn.objects.all().delete()
        Cluster.objects.filter(host=socket.gethostname()).delete()


@pytest.fixture
def history(alice: Person, peer: Peer, outside: Outside, slow_tools: None) -> Iterator[History]:
    """What happens in this test. Runs that haven't ended when it is over are cancelled."""
    history = History(alice, peer, outside)
    yield history
    for run_id in history.accepted:
        alice.with_key().post(f"/api/runs/{run_id}/cancel")


@pytest.fixture
def slow_tools(committed: Cast) -> Iterator[None]:
    """This process accepts runs, so it has to offer what the workers can do; other tests must not see it."""
    before = dict(registry._registered)
    module = importlib.import_module("tests.faults.slow_tools.tools")
    made = {name: tool for name, tool in registry._registered.items() if tool.function.__module__ == module.__name__}
    _made.update(made)
    registry._registered.update(_made)
    yield
    registry._registered.clear()
    registry._registered.update({name: tool for name, tool in before.items() if name not in _made})


_made: dict[str, registry.Tool] = {}


@pytest.fixture
def log_of() -> Callable[[WorkerCluster], str]:
    def read(cluster: WorkerCluster) -> str:
        return Path(cluster.log).read_text()

    return read
