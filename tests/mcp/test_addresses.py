"""Foreign servers at an address: guarded when they are saved and when they are reached; secrets go to them and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from openintern.errors import Invalid
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs.mcp import servers
from runs.mcp.connections import connections
from runs.models import McpServer
from runs.stop import Stop
from runs.tools.registry import ToolContext, ToolError, tools
from tests.conftest import Cast, Person
from tests.outgoing.test_addresses import INSIDE
from tests.peers.mcp_http import CLIENT, CLIENT_SECRET, TOKEN, McpSite, mcp_site


@pytest.fixture
def site(allow: Any) -> Iterator[McpSite]:
    with mcp_site() as site:
        allow(site.place)
        yield site


@pytest.fixture
def alice(committed: Cast) -> Iterator[Person]:
    with org_scope(committed.alice.org):
        yield committed.alice
        for server in McpServer.objects.all():
            connections.close(servers.connection_key(server))
        McpServer.objects.all().delete()


def add(alice: Person, url: str, **told: Any) -> McpServer:
    return servers.add(alice.scope, {"name": "there", "url": url, "risk": "medium", **told})


def look(alice: Person, server: McpServer) -> McpServer:
    return servers.look(alice.scope, server.pk)


def call(alice: Person, name: str, **arguments: Any) -> dict[str, Any]:
    context = ToolContext(
        scope=alice.scope, run_id="r", tool_call_id="c", idempotency_key="k", workspace=None, stop=Stop()  # type: ignore[arg-type]
    )  # fmt: skip
    return tools()[name].call(context, arguments)


@pytest.mark.parametrize("auth", ["bearer", "oauth"])
def test_its_tools_work_with_a_token_and_with_client_credentials(alice: Person, site: McpSite, auth: str) -> None:
    told = (
        {"secret": TOKEN} if auth == "bearer" else {"secret": CLIENT_SECRET, "client_id": CLIENT, "issuer": site.origin}
    )
    server = look(alice, add(alice, f"{site.origin}/mcp", auth=auth, **told))

    assert (server.state, server.error) == ("healthy", "")
    servers.approve(alice.scope, server.pk, {tool["name"]: tool["digest"] for tool in server.seen})
    assert call(alice, "mcp__there__echo", text="你好") == {"text": "你好"}
    assert site.grants == (0 if auth == "bearer" else 2)


def test_a_wrong_token_is_told_without_the_token(alice: Person, site: McpSite) -> None:
    server = look(alice, add(alice, f"{site.origin}/mcp", auth="bearer", secret="canary-wrong-token"))

    assert server.state == "failing"
    assert "canary" not in server.error


def test_client_credentials_go_to_no_other_issuer(alice: Person, site: McpSite, allow: Any) -> None:
    with mcp_site() as other:
        allow(site.place, other.place)
        told = {"auth": "oauth", "secret": CLIENT_SECRET, "client_id": CLIENT, "issuer": other.origin}
        server = look(alice, add(alice, f"{site.origin}/mcp", **told))

    assert server.state == "failing"
    assert "/token" not in site.asked


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_when_it_is_saved(alice: Person, host: str) -> None:
    with pytest.raises(Invalid, match="not a public address"):
        add(alice, f"http://{host}/mcp")


def test_a_name_that_leads_inside_is_refused_when_it_is_saved(alice: Person) -> None:
    with pytest.raises(Invalid, match="not a public address"):
        add(alice, "http://localhost:9/mcp")


def test_an_address_that_leads_inside_later_is_refused_when_it_is_reached(
    alice: Person, site: McpSite, allow: Any
) -> None:
    allow(f"localhost:{site.server_address[1]}")
    server = add(alice, f"http://localhost:{site.server_address[1]}/mcp")
    allow()

    server = look(alice, server)

    assert "not a public address" in server.error
    assert site.asked == []


def test_a_redirect_leads_nowhere(alice: Person, site: McpSite, allow: Any) -> None:
    with mcp_site(redirects_to=f"{site.origin}/mcp") as door:
        allow(door.place)
        server = look(alice, add(alice, f"{door.origin}/mcp", auth="bearer", secret=TOKEN))

    assert server.state == "failing"
    assert site.asked == []


def test_an_answer_without_end_is_cut_off(alice: Person, site: McpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    server = look(alice, add(alice, f"{site.origin}/mcp", auth="bearer", secret=TOKEN))
    servers.approve(alice.scope, server.pk, {tool["name"]: tool["digest"] for tool in server.seen})
    site.peer.behaviour = "huge"
    monkeypatch.setattr("runs.mcp.transports.LARGEST_ANSWER", 1_000_000)

    with pytest.raises(ToolError, match="failed"):
        call(alice, "mcp__there__echo", text="x")


def test_admins_manage_servers_by_the_api_and_secrets_stay_inside(committed: Cast, site: McpSite) -> None:
    client = committed.alice.with_key()
    told = {"name": "api", "url": f"{site.origin}/mcp", "auth": "bearer", "secret": TOKEN, "risk": "medium"}
    answers = [client.post("/api/mcp-servers", told, content_type="application/json")]
    path = f"/api/mcp-servers/{answers[0].json()['server_id']}"
    answers += [client.post(f"{path}/look")]
    digests = {tool["name"]: tool["digest"] for tool in answers[1].json()["seen"]}
    answers += [
        client.post(f"{path}/approve", {"digests": digests}, content_type="application/json"),
        client.post(f"{path}/approve", {"digests": {"echo": "x"}}, content_type="application/json"),
        client.post("/api/mcp-servers", told, content_type="application/json"),
        client.patch(path, {"risk": "high", "secret": "canary-second"}, content_type="application/json"),
        client.patch(path, {"command": ["sh"]}, content_type="application/json"),
        client.get(path),
        client.get("/api/mcp-servers"),
        committed.alice.signed_in().get("/mcp-servers"),
        committed.alice.signed_in().get("/admin/runs/mcpserver/"),
        committed.alice.signed_in().get(f"/admin/runs/mcpserver/{answers[0].json()['server_id']}/change/"),
        client.delete(path),
        client.get(path),
    ]

    assert [each.status_code for each in answers] == [
        201, 200, 200, 409, 409, 200, 400, 200, 200, 200, 200, 200, 204, 404,
    ]  # fmt: skip
    assert (answers[1].json()["state"], answers[2].json()["approved"]) == ("healthy", digests)
    assert not [each for each in answers if b"canary" in each.content]
    assert "canary" not in json.dumps(list(AuditEntry.objects.values_list("details", flat=True)))


@pytest.mark.parametrize("who", ["bob", "victor", "charlie"])
def test_nobody_else_manages_them(committed: Cast, who: str) -> None:
    client = getattr(committed, who).with_key()
    with org_scope(committed.alice.org):
        server = McpServer.objects.create(name="hers", transport="http", url="https://example.org/mcp")
    expected = 404 if who == "charlie" else 403

    answers = [
        client.get(f"/api/mcp-servers/{server.pk}"),
        client.post(f"/api/mcp-servers/{server.pk}/look"),
        client.post(f"/mcp-servers/{server.pk}/remove"),
        client.delete(f"/api/mcp-servers/{server.pk}"),
    ]

    assert [answer.status_code for answer in answers] == [expected] * 4
    with org_scope(committed.alice.org):
        McpServer.objects.filter(pk=server.pk).delete()


def test_a_dump_of_the_table_holds_no_secret(alice: Person, site: McpSite) -> None:
    add(alice, f"{site.origin}/mcp", auth="bearer", secret=TOKEN)

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(t::text, '') FROM runs_mcpserver t")
        assert TOKEN not in cursor.fetchone()[0]
