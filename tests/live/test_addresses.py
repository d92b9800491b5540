"""Whose address is in the audit: the one that reached the server, or the proxy that it trusts; never what a client claims."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from django.test import Client
from django.utils import timezone

from openintern.tenancy import keys
from openintern.tenancy.models import AuditEntry
from tests.conftest import Cast, Person
from tests.faults.processes import wait_until
from tests.live.conftest import Server

CLAIMED = "203.0.113.9"
AS_CLAIMED = [
    {"X-Forwarded-For": CLAIMED},
    {"X-Forwarded-For": f"{CLAIMED}, {CLAIMED}"},
    {"Forwarded": f"for={CLAIMED}"},
    {"X-Real-IP": CLAIMED},
    {"Client-IP": CLAIMED},
    {"True-Client-IP": CLAIMED},
]


@pytest.fixture
def dead_key(committed: Cast) -> str:
    """A revoked key: each use of it is in the audit, with an address."""
    key, text = keys.create_api_key(org=committed.alice.org, user=committed.alice.user)
    keys.revoke_api_key(key, by=committed.alice.user, at=timezone.now())
    return text


@pytest.fixture
def untrusting(server: Server) -> Iterator[str]:
    """A server whose proxy is elsewhere: what comes from here is a client."""
    from openintern.asgi import application

    config = uvicorn.Config(application, port=0, lifespan="off", log_level="warning", forwarded_allow_ips="192.0.2.1")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, name="untrusting")
    thread.start()
    wait_until(lambda: running.started, within=20, what="the server")
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join(20)


def recorded(key: str) -> str:
    """The address beside the only use of a dead key."""
    entry = AuditEntry.objects.get(action="api_key.use", object_id=key.split("_")[1])
    return str(entry.address)


@pytest.mark.parametrize("headers", AS_CLAIMED, ids="-".join)
def test_a_client_says_nothing_about_its_address(untrusting: str, dead_key: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{untrusting}/api/me", headers={"Authorization": f"Bearer {dead_key}", **headers})

    assert answer.status_code == 401
    assert recorded(dead_key) == "127.0.0.1"


def test_behind_a_proxy_it_is_the_one_that_the_proxy_saw_last(server: Server, dead_key: str) -> None:
    headers = {"Authorization": f"Bearer {dead_key}", "X-Forwarded-For": f"{CLAIMED}, 198.51.100.7"}

    assert httpx.get(f"{server.url}/api/me", headers=headers).status_code == 401

    assert recorded(dead_key) == "198.51.100.7"


def test_refusals_name_the_address_that_the_server_saw(victor: Person) -> None:
    client = Client(headers={**victor.headers, **AS_CLAIMED[0]}, REMOTE_ADDR="198.51.100.8")

    assert client.post("/api/runs", {"input": "x"}, content_type="application/json").status_code == 403

    entry = AuditEntry.objects.filter(actor=victor.user, outcome="refused").latest("pk")
    assert entry.address == "198.51.100.8"
