"""Foreign programs find memories and runs through our MCP server, with their person's rights and no others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import httpx
import pytest
from mcp.client.client import Client

from openintern.ids import random_text
from openintern.tenancy import keys
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.roles import Role
from openintern.tenancy.scope import org_scope
from runs.llm import scripted
from runs.mcp.serving.doors import DOORS
from runs.models import Run
from teams import groups
from tests.conftest import Cast, Person, admit
from tests.live.conftest import Server
from tests.mcp.conftest import by_http, by_stdio, environment, speak

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def told(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers, a refusal included."""
    result = await client.call_tool(name, arguments)
    return dict(json.loads(result.content[0].text))


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_official_client_works_over_http(server: Server, worker: None, committed: Cast, mode: str) -> None:
    scripted.play("over-http", {"text": "It is done. 做好了。"})
    with org_scope(committed.alice.org):
        group = groups.create(committed.alice.scope, name=f"by mcp {random_text(6)}")

    async def talk(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} == set(DOORS)
        kept = await told(client, "memory_write", text="The harbour closes at dusk. 港口黄昏关闭。")
        assert (await told(client, "memory_get", id=kept["memory"]["id"]))["memory"] == kept["memory"]
        found = await told(client, "memory_search", query="港口", limit=3)
        assert kept["memory"]["id"] in [hit["id"] for hit in found["results"]]
        posted = await told(client, "board_post", group_id=group.pk, text="The tide turns at six. 六点转潮。")
        board = await told(client, "board_read", group_id=group.pk, kind="note")
        assert board["entries"][0] == posted["entry"]
        assert (posted["entry"]["by"], posted["entry"]["from_outside"]) == ("alice", False)
        assert group.pk in [each["id"] for each in (await told(client, "board_list"))["groups"]]
        run = await told(client, "run_start", input="say something", session_key="s_mcp_over_http")
        news, seen = {"is_over": False, "last_seq": 0}, []
        while not news["is_over"]:
            news = await told(client, "run_follow", run_id=run["run_id"], after=news["last_seq"])
            seen += [event["seq"] for event in news["events"]]
        assert seen == list(range(1, len(seen) + 1))
        assert (news["status"], (await told(client, "run_get", run_id=run["run_id"]))["status"]) == ("completed",) * 2
        assert run["run_id"] in [each["run_id"] for each in (await told(client, "run_list"))["runs"]]

    speak(by_http(server.url, committed.alice), talk, mode=mode)


def test_the_official_client_works_over_stdio(worker: None, committed: Cast) -> None:
    async def talk(client: Client) -> tuple[str, str]:
        run = await told(client, "run_start", input="你好", session_key="s_mcp_over_stdio")
        followed = await told(client, "run_follow", run_id=run["run_id"], wait_seconds=0)
        return run["run_id"], followed["status"]

    run_id, status = speak(by_stdio("--org", "acme", "--user", "alice"), talk)

    assert status in {"pending", "running", "completed"}
    with org_scope(committed.alice.org):
        assert Run.objects.get(pk=run_id).user == committed.alice.user


def test_over_stdio_a_key_counts_and_a_wrong_one_does_not(committed: Cast) -> None:
    async def mine(client: Client) -> list[dict[str, Any]]:
        return list((await told(client, "run_list"))["runs"])

    newcomer = admit("mcp-newcomer", committed.charlie.org, Role.MEMBER)

    assert speak(by_stdio(OPENINTERN_API_KEY=newcomer.api_key), mine) == []
    refused = subprocess.run(
        [sys.executable, "manage.py", "mcp"],
        env={**environment(), "OPENINTERN_API_KEY": "oi_nothing"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "This key isn't valid" in refused.stderr


def test_each_door_asks_for_its_right(server: Server, committed: Cast) -> None:
    reading = keys.create_api_key(org=committed.alice.org, user=committed.alice.user, scopes=["read"])[1]
    reader = Person(committed.alice.user, committed.alice.org, committed.alice.role, reading)
    calls: dict[str, dict[str, Any]] = {
        "memory_write": {"text": "x"}, "run_start": {"input": "x"}, "run_cancel": {"run_id": "run_x"},
        "board_post": {"group_id": "grp_x", "text": "x"},
    }  # fmt: skip
    before = AuditEntry.objects.filter(outcome="refused").count()

    async def talk(client: Client) -> list[str]:
        return [(await told(client, name, **arguments))["error"]["code"] for name, arguments in calls.items()]

    for person in (committed.victor, reader):
        assert speak(by_http(server.url, person), talk) == ["FORBIDDEN"] * len(calls)
    assert AuditEntry.objects.filter(outcome="refused").count() == before + 2 * len(calls)
    assert set(calls) == {name for name, door in DOORS.items() if not door.changes_nothing}


def test_what_is_alices_is_not_there_for_charlie(server: Server, committed: Cast) -> None:
    async def have(client: Client) -> tuple[str, str]:
        kept = await told(client, "memory_write", text="canary4Zq lives in the lighthouse")
        run = await told(client, "run_start", input="canary4Zq", session_key="s_mcp_canary")
        return kept["memory"]["id"], run["run_id"]

    memory_id, run_id = speak(by_http(server.url, committed.alice), have)
    with org_scope(committed.alice.org):
        group = groups.create(committed.alice.scope, name=f"canary4Zq {random_text(6)}")

    async def look(client: Client, memory_id: str, run_id: str, group_id: str) -> list[dict[str, Any]]:
        return [
            await told(client, "board_read", group_id=group_id),
            await told(client, "board_post", group_id=group_id, text="Hello"),
            await told(client, "memory_get", id=memory_id),
            await told(client, "run_get", run_id=run_id),
            await told(client, "run_follow", run_id=run_id, wait_seconds=0),
            await told(client, "run_cancel", run_id=run_id),
        ]

    async def talk(client: Client) -> Any:
        real = await look(client, memory_id, run_id, group.pk)
        never = await look(client, "00000000-0000-4000-8000-000000000000", "run_neverExisted", "grp_never")
        assert "canary4Zq" not in str(await told(client, "board_list"))
        return real, never, await told(client, "memory_search", query="canary4Zq"), await told(client, "run_list")

    real, never, found, runs = speak(by_http(server.url, committed.charlie), talk)

    assert real == never
    assert "canary4Zq" not in json.dumps([found, runs])


def test_arguments_are_held_against_the_schema(server: Server, committed: Cast) -> None:
    bad: list[tuple[str, dict[str, Any]]] = [
        ("memory_search", {}),
        ("memory_search", {"query": "x", "limit": 1000}),
        ("memory_search", {"query": "x", "org_id": "rival"}),
        ("memory_write", {"text": "a\x00b"}),
        ("run_start", {"input": "x", "session_key": "nothing"}),
        ("run_follow", {"run_id": "run_x", "wait_seconds": 10_000}),
    ]

    async def talk(client: Client) -> list[str]:
        return [(await told(client, name, **arguments))["error"]["code"] for name, arguments in bad]

    assert speak(by_http(server.url, committed.alice), talk) == ["VALIDATION_ERROR"] * len(bad)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer oi_nothing"}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({"Host": "evil.example"}, 400),
        ({"x-org-id": "rival"}, 404),
    ],
)
def test_who_asks_is_settled_as_everywhere(
    server: Server, committed: Cast, headers: dict[str, str], status: int
) -> None:
    sent = {name: value for name, value in {**committed.alice.headers, **ACCEPT, **headers}.items() if value}

    assert httpx.post(f"{server.url}/mcp", json=INITIALIZE, headers=sent, timeout=30).status_code == status


def test_a_cookie_opens_nothing(server: Server, committed: Cast) -> None:
    cookie = committed.alice.signed_in().cookies["sessionid"].value

    answer = httpx.post(f"{server.url}/mcp", json=INITIALIZE, headers=ACCEPT, cookies={"sessionid": cookie}, timeout=30)

    assert answer.status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc": "2.0"}'])
def test_what_is_no_message_is_refused(server: Server, committed: Cast, body: bytes) -> None:
    headers = {**committed.alice.headers, **ACCEPT, "Content-Type": "application/json"}

    assert 400 <= httpx.post(f"{server.url}/mcp", content=body, headers=headers, timeout=30).status_code < 500


INSPECTOR = os.environ.get("MCP_INSPECTOR") or shutil.which("mcp-inspector")


@pytest.mark.skipif(not INSPECTOR, reason="needs `npm install @modelcontextprotocol/inspector`, or MCP_INSPECTOR")
def test_another_public_client_works(server: Server, committed: Cast) -> None:
    """The protocol's inspector, which is built on another implementation than ours."""

    def ask(*arguments: str) -> dict[str, Any]:
        way = ["--cli", f"{server.url}/mcp", "--transport", "http"]
        header = ["--header", f"Authorization: {committed.alice.headers['Authorization']}"]
        done = subprocess.run(
            [str(INSPECTOR), *way, *header, *arguments], capture_output=True, text=True, timeout=120, check=True
        )
        return dict(json.loads(done.stdout))

    listed = ask("--method", "tools/list")
    called = ask("--method", "tools/call", "--tool-name", "memory_write", "--tool-arg", "text=来自另一个客户端")

    assert {tool["name"] for tool in listed["tools"]} == set(DOORS)
    assert called["structuredContent"]["memory"]["text"] == "来自另一个客户端"
