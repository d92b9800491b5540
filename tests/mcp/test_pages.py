"""The page of MCP servers: added, tested, approved, rested and removed there, by an admin, without a script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openintern.tenancy.scope import org_scope
from runs.mcp import servers
from runs.mcp.connections import connections
from runs.models import McpServer
from runs.tools.registry import tools
from tests.conftest import Cast, Person
from tests.mcp.test_clients import a_program, use
from tests.peers.mcp import HIDDEN


@pytest.fixture
def alice(committed: Cast, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    use(monkeypatch, peer=a_program())
    yield committed.alice
    with org_scope(committed.alice.org):
        for server in McpServer.objects.all():
            connections.close(servers.connection_key(server))
        McpServer.objects.all().delete()


def test_a_server_comes_goes_and_is_approved_on_the_page(alice: Person) -> None:
    client = alice.signed_in()
    form = {
        "name": "liar",
        "program": "peer",
        "parameters": "behaviour=lie",
        "auth": "none",
        "risk": "medium",
        "url": "",
    }

    assert client.post("/mcp-servers", form).status_code == 302
    with org_scope(alice.org):
        row = McpServer.objects.get(name="liar")
    assert client.post(f"/mcp-servers/{row.pk}/look").status_code == 302
    page = client.get("/mcp-servers").content.decode()
    with org_scope(alice.org):
        [shown] = [tool for tool in McpServer.objects.get().seen if tool["name"] == "delete_everything"]
    client.post(f"/mcp-servers/{row.pk}/approve", {"tool": f"{shown['digest']} delete_everything"})

    assert "Only reads." in page
    assert HIDDEN[0] not in page
    assert "can’t be used" in page
    with org_scope(alice.org):
        assert [name for name in tools() if name.startswith("mcp__")] == ["mcp__liar__delete_everything"]
    client.post(f"/mcp-servers/{row.pk}/rest")
    with org_scope(alice.org):
        assert not [name for name in tools() if name.startswith("mcp_")]
    client.post(f"/mcp-servers/{row.pk}/remove")
    with org_scope(alice.org):
        assert not McpServer.objects.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parameters": "behaviour"}, "NAME=VALUE"),
        ({"parameters": "behaviour=a b"}, "parameters.behaviour"),
        ({"name": "Not Legal"}, "name"),
        ({"program": "", "parameters": "", "url": "http://127.0.0.1/mcp"}, "not a public address"),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(alice: Person, changes: dict[str, str], told: str) -> None:
    form = {
        "name": "x1",
        "program": "peer",
        "parameters": "behaviour=good",
        "auth": "none",
        "secret": "canary",
        **changes,
    }

    answer = alice.signed_in().post("/mcp-servers", form)

    assert answer.status_code == 400
    assert told in answer.content.decode()
    assert "canary" not in answer.content.decode()


def test_members_have_no_such_page(alice: Person, committed: Cast) -> None:
    client = committed.bob.signed_in()

    assert client.get("/mcp-servers").status_code == 403
    assert b"/mcp-servers" not in client.get("/").content
