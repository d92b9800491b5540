"""The clock looks at foreign servers: one that has gone silent, or lists something else, is known before an agent asks it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from openintern.tenancy.scope import public_scope
from runs.mcp import probing, servers
from runs.mcp.connections import connections
from runs.models import McpServer
from tests.conftest import Person
from tests.mcp import test_clients
from tests.mcp.test_clients import a_program, add, call, use

alice = test_clients.alice  # fixture


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, peer=a_program(confined=False))


def long_ago(server: McpServer) -> None:
    McpServer.objects.filter(pk=server.pk).update(looked_at=timezone.now() - timedelta(minutes=11))


def probe_all() -> int:
    with public_scope():
        return probing.probe_all()


def test_who_was_looked_at_of_late_is_left_alone(alice: Person, peer: None) -> None:
    server = add(alice)

    assert not probing.probe(server)
    long_ago(server)
    assert probing.probe(server)
    assert not probing.probe(server)


def test_one_that_went_silent_is_known_without_a_call(
    alice: Person, peer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = add(alice)
    use(monkeypatch, peer=a_program(command=("/bin/false",), confined=False))
    long_ago(server)

    assert probe_all() >= 1

    server.refresh_from_db()
    assert (server.state, server.error != "") == ("failing", True)
    assert server.approved, "what is approved stays approved"


def test_one_that_answers_again_is_healthy_again(alice: Person, peer: None) -> None:
    server = add(alice, approved=False)
    servers.note_failure(server, "It was down")
    long_ago(server)

    probe_all()

    server.refresh_from_db()
    assert (server.state, server.error, [tool["name"] for tool in server.seen]) == ("healthy", "", ["echo"])
    assert server.approved == [], "a look approves nothing"


def test_a_probe_leaves_the_connection_of_runs_alone(alice: Person, peer: None) -> None:
    server = add(alice)
    assert call(alice, "mcp__good__echo", text="before") == {"text": "before"}
    line = connections._lines[servers.connection_key(server)].client
    long_ago(server)

    probe_all()

    assert connections._lines[servers.connection_key(server)].client is line
    assert not [key for key in connections._lines if key.startswith("probe:")]


def test_one_that_is_switched_off_is_not_looked_at(alice: Person, peer: None) -> None:
    server = add(alice, approved=False, is_enabled=False)

    probe_all()

    server.refresh_from_db()
    assert (server.state, server.looked_at) == ("unknown", None)
