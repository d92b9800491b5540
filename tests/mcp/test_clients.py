"""Foreign servers: what an admin approved is what agents are offered, and a server that misbehaves costs its own tools only."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from openintern.configuration import Mcp, Program
from openintern.errors import Invalid, OpenInternError
from openintern.ids import random_text
from openintern.tenancy.scope import org_scope
from runs.engine import plan
from runs.llm.types import ToolCall
from runs.mcp import catalogue, servers
from runs.mcp.connections import Connections, Failed, connections
from runs.mcp.descriptions import digest, is_dangerous, pinned
from runs.models import McpServer, Run
from runs.stop import Stop
from runs.tools.policy import Mandate, offered_tools
from runs.tools.registry import ToolBlocked, ToolContext, ToolError, tools
from tests.conftest import Cast, Person, events_of, reload
from tests.peers.mcp import LIES
from tests.runs.conftest import eventually

PEER = Path(__file__).resolve().parents[1] / "peers" / "mcp.py"
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
CHANGED_WORDS = "an admin has to look at it"


def a_program(**options: Any) -> Program:
    seen = () if PYTHON.startswith("/usr") else (sys.base_prefix, sys.prefix)
    told = {
        "command": (PYTHON, str(PEER), "{behaviour}"),
        "parameters": {"behaviour": "[a-z]+"},
        "readable": (str(PEER.parent), *seen),
    }
    return Program(**{**told, **options})


@pytest.fixture(params=["confined", "on a leash"])
def peer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program `peer` in the operator's catalogue."""
    use(monkeypatch, peer=a_program(confined=request.param == "confined"))
    return str(request.param)


def use(monkeypatch: pytest.MonkeyPatch, **programs: Program) -> None:
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, mcp=Mcp(catalogue=programs)))


@pytest.fixture
def alice(committed: Cast) -> Iterator[Person]:
    with org_scope(committed.alice.org):
        yield committed.alice
        for server in McpServer.objects.all():
            connections.close(servers.connection_key(server))
        McpServer.objects.all().delete()


def add(alice: Person, behaviour: str = "good", *, approved: bool = True, **told: Any) -> McpServer:
    """Add a server, look at it, and approve what it lists."""
    place = {"transport": "stdio", "program": "peer", "parameters": {"behaviour": behaviour}}
    server = servers.add(alice.scope, {"name": behaviour, "risk": "medium", **place, **told})
    if not approved:
        return server
    server = servers.look(alice.scope, server.pk)
    usable = {tool["name"]: tool["digest"] for tool in server.seen if not tool["refused"]}
    return servers.approve(alice.scope, server.pk, usable)


def context(alice: Person, stop: Stop | None = None) -> ToolContext:
    return ToolContext(
        scope=alice.scope,
        run_id="run_x",
        tool_call_id="c",
        idempotency_key="k",
        workspace=None,  # type: ignore[arg-type]
        stop=stop or Stop(),
    )


def call(alice: Person, name: str, /, **arguments: Any) -> dict[str, Any]:
    return tools()[name].call(context(alice), arguments)


def test_what_was_approved_is_offered_and_can_be_called(alice: Person, peer: str) -> None:
    server = add(alice)

    assert (server.state, server.error, server.changed) == ("healthy", "", [])
    assert "mcp__good__echo" in [tool.name for tool in offered_tools(Mandate())]
    assert call(alice, "mcp__good__echo", text="你好") == {"text": "你好"}
    assert call(alice, "mcp_read", server="good", uri="peer://note")["text"] == "the note 便条"
    assert call(alice, "mcp_resources", server="good")["prompts"][0]["name"] == "greet"
    assert call(alice, "mcp_prompt", server="good", name="greet", arguments={"who": "Bo"})["messages"] == [
        {"role": "user", "text": "Greet Bo"}
    ]


def test_nothing_is_offered_before_an_admin_approves(alice: Person, peer: str) -> None:
    server = servers.look(alice.scope, add(alice, approved=False).pk)

    assert [tool["name"] for tool in server.seen] == ["echo"]
    assert not [name for name in tools() if name.startswith("mcp_")]
    with pytest.raises(OpenInternError, match="look at the server again"):
        servers.approve(alice.scope, server.pk, {"echo": "another digest"})


def test_arguments_are_held_against_the_approved_schema(alice: Person, peer: str) -> None:
    add(alice)

    for arguments in ({}, {"text": 5}, {"text": "x" * 51}, {"text": "x", "more": 1}, {"text": "a\x00"}):
        with pytest.raises(ToolError, match="Invalid tool arguments"):
            tools()["mcp__good__echo"].validate(arguments)


def test_an_error_of_the_tool_is_one_without_hidden_characters(alice: Person, peer: str) -> None:
    add(alice)

    with pytest.raises(ToolError) as failed:
        call(alice, "mcp__good__echo", text="fail")

    assert str(failed.value) == "The server says: no such thing"


@pytest.mark.parametrize("behaviour", ["exit", "silent"])
def test_a_server_that_does_not_start_is_told_of(
    alice: Person, peer: str, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.mcp.connections.CONNECT_SECONDS", 2.0)
    add(alice)

    server = servers.look(alice.scope, add(alice, behaviour, approved=False).pk)

    assert server.state == "failing"
    assert ("the licence has run out" if behaviour == "exit" else "did not answer") in server.error
    assert call(alice, "mcp__good__echo", text="the others work") == {"text": "the others work"}


def test_a_server_that_dies_in_a_call_is_an_error_and_comes_back(alice: Person, peer: str) -> None:
    add(alice, "die")

    for _ in range(2):
        with pytest.raises(ToolError, match=r"failed: .*Whether it took effect isn't known"):
            call(alice, "mcp__die__echo", text="x")

    assert McpServer.objects.get(name="die").state == "failing"


def test_a_call_without_an_answer_ends_and_so_does_the_process(alice: Person, peer: str) -> None:
    add(alice, "hang", timeout_seconds=1)
    before = peers_alive()

    with pytest.raises(ToolError, match="did not answer within 1 s"):
        call(alice, "mcp__hang__echo", text="x")

    eventually(lambda: peers_alive() <= before)


def test_a_stopped_run_waits_for_no_server(alice: Person, peer: str) -> None:
    add(alice, "hang")
    stop = Stop()
    stop.set("cancelled")

    with pytest.raises(Exception, match="cancelled"):
        tools()["mcp__hang__echo"].function(context(alice, stop), text="x")


def test_a_server_is_not_started_again_and_again(alice: Person, peer: str) -> None:
    own = Connections()
    server = add(alice, "exit", approved=False)
    starts: list[int] = []

    def way() -> Any:
        starts.append(1)
        return servers.way_to(server)

    async def question(client: Any) -> None:
        """Nothing is asked."""

    for _ in range(5):
        with pytest.raises(Failed):
            own.ask("key", way, question, within=5)

    assert len(starts) == 1
    assert own._lines["key"].not_before > time.monotonic()
    own.close("key")


def test_a_tool_that_changes_is_blocked_until_an_admin_looks(alice: Person, peer: str) -> None:
    server = add(alice, "rugpull")
    before = tools()["mcp__rugpull__echo"]
    assert call(alice, "mcp__rugpull__echo", text="still the same") == {"text": "still the same"}

    with pytest.raises(ToolBlocked, match=CHANGED_WORDS):
        before.call(context(alice), {"text": "x"})

    server = servers.find(alice.scope, server.pk)
    assert (server.changed, tools()["mcp__rugpull__echo"].blocked != "") == (["echo"], True)
    assert "mcp__rugpull__echo" not in [tool.name for tool in offered_tools(Mandate())]
    asked = [ToolCall("c1", "mcp__rugpull__echo", {"text": "x"}, '{"text": "x"}')]
    _, [refused] = plan.sort_calls(asked, offered=["mcp__rugpull__echo"], mandate=Mandate(), is_tainted=False)
    assert (refused.code, refused.rule) == ("BLOCKED", "tool.blocked")
    servers.approve(alice.scope, server.pk, {tool["name"]: tool["digest"] for tool in server.seen})
    assert call(alice, "mcp__rugpull__echo", text="approved") == {"text": "approved"}


def test_a_blocked_call_is_in_the_runs_log(
    alice: Person, peer: str, worker: None, start_run: Callable[..., Run]
) -> None:
    add(alice, "rugpull")
    call(alice, "mcp__rugpull__echo", text="still the same")  # the worker is a thread of this process
    asks = {"tool_calls": [{"name": "mcp__rugpull__echo", "arguments": {"text": "x"}}]}
    run = start_run(alice, steps=[asks, asks, {"text": "done"}], session_key=f"s_rugpull_{random_text(8)}")

    eventually(lambda: reload(alice, run).is_final, within=30)

    types = [event.type for event in events_of(alice, run)]
    assert types.count("tool.blocked") == 2
    assert types.count("tool.result") == 2
    assert reload(alice, run).status == "completed"


@pytest.mark.parametrize("behaviour", ["huge", "garbage"])
def test_what_cannot_be_understood_harms_nobody(alice: Person, peer: str, behaviour: str) -> None:
    add(alice, behaviour)

    if behaviour == "garbage":
        assert call(alice, "mcp__garbage__echo", text="x") == {"text": "x"}
        return
    with pytest.raises(ToolError, match="failed"):
        call(alice, "mcp__huge__echo", text="x")


def test_nothing_outlives_its_connection(alice: Person, peer: str) -> None:
    before = peers_alive()
    server = add(alice, "stubborn")
    call(alice, "mcp__stubborn__echo", text="x")
    assert peers_alive() >= before + 2

    connections.close(servers.connection_key(server))

    eventually(lambda: peers_alive() <= before)


def test_nothing_outlives_a_worker_that_is_killed(alice: Person, peer: str) -> None:
    before = peers_alive()
    add(alice, "stubborn")
    child = os.fork()
    if child == 0:
        _call_and_wait(alice)
    eventually(lambda: peers_alive() >= before + 2, within=20)

    os.kill(child, 9)
    os.waitpid(child, 0)

    eventually(lambda: peers_alive() <= before)


def _call_and_wait(alice: Person) -> None:
    """Be a worker that has a connection: in a forked process, which never returns."""
    try:
        server = McpServer(
            pk=1, name="stubborn", transport="stdio", program="peer", parameters={"behaviour": "stubborn"}
        )

        async def question(client: Any) -> None:
            await client.list_tools()

        Connections().ask("in the fork", lambda: servers.way_to(server), question, within=20)
        time.sleep(600)
    finally:
        os._exit(1)


def peers_alive() -> int:
    """How many processes run the peer: those of this test's own file."""
    found = 0
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                words = (each / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            found += words[:1] == [PYTHON.encode()] and str(PEER).encode() in words
    return found


def test_what_a_server_says_is_cut_and_stripped_and_gives_no_rights(alice: Person, peer: str) -> None:
    server = add(alice, "lie")
    told = {tool["name"]: tool for tool in server.seen}

    assert len(told["delete_everything"]["description"]) == 2000
    assert told["delete_everything"]["description"].startswith("Only reads.xxx")
    assert "pattern" not in told["delete_everything"]["schema"]["properties"]["why"]
    assert {name for name, tool in told.items() if tool["refused"]} == {
        "\u0435cho", "Get-it", "get_it", "y" * 100, "many"
    }  # fmt: skip
    deleting = tools()["mcp__lie__delete_everything"]
    assert (deleting.risk, deleting.mutating, deleting.recovery, deleting.taints) == ("high", True, "unsure", True)
    assert tools()["memory_write"].name == "memory_write"
    assert "MCP" not in tools()["memory_write"].description


def test_a_digest_notices_what_was_cut() -> None:
    longer = {**LIES[0], "description": LIES[0]["description"] + "y"}

    assert digest(longer) != digest(LIES[0])
    assert pinned("a", [longer])[0]["description"] == pinned("a", [LIES[0]])[0]["description"]


@pytest.mark.parametrize("name", ["deleteFile", "send_mail", "run-query", "files.write", "POST"])
def test_what_a_name_says_counts(name: str) -> None:
    assert is_dangerous(name)
    assert not is_dangerous("search_runner_resend")


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"command": ["/bin/sh"]}, "command"),
        ({"args": ["-c"]}, "args"),
        ({"env": {"LD_PRELOAD": "x"}}, "env"),
        ({"environment": {"PATH": "."}}, "environment"),
        ({"cwd": "/"}, "cwd"),
        ({"program": "/bin/sh"}, "program"),
        ({"program": "unknown"}, "program"),
        ({"parameters": {}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": "good", "more": "x"}}, "parameters.more"),
        ({"parameters": {"behaviour": "good; rm -rf /"}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": "$(id)"}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": "--config=x"}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": "-e"}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": "@file"}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": "good\nbad"}}, "parameters.behaviour"),
        ({"parameters": {"behaviour": ["good"]}}, "parameters.behaviour"),
        ({"url": "https://example.org/mcp"}, "url"),
        ({"name": "a__b"}, "name"),
        ({"risk": "low"}, "risk"),
        ({"approved": []}, "approved"),
        ({"timeout_seconds": 10_000}, "timeout_seconds"),
        ({"is_enabled": "yes"}, "is_enabled"),
    ],
)
def test_a_tenant_names_a_program_and_nothing_else(
    alice: Person, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], field: str
) -> None:
    use(monkeypatch, peer=a_program())
    good = {"name": "x", "transport": "stdio", "program": "peer", "parameters": {"behaviour": "good"}}

    with pytest.raises(Invalid) as refused:
        servers.add(alice.scope, {**good, **told})

    assert refused.value.details == {"field": field}


def test_even_a_careless_pattern_lets_no_option_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, peer=a_program(parameters={"behaviour": ".*"}))

    for value in ("-x", "--y", "@z", "a\tb", "", "x" * 201):
        with pytest.raises(Invalid):
            catalogue.check("peer", {"behaviour": value})
    command, _ = catalogue.command("peer", {"behaviour": "a b; c $(d)"})
    assert command[-1] == "a b; c $(d)"


def test_a_confined_program_sees_nothing_of_the_machine(
    alice: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary-in-the-environment")
    (tmp_path / "secret").write_text("canary-in-a-file")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told = {"PEER_PORT": str(listening.getsockname()[1]), "PEER_CANARY": str(tmp_path / "secret")}
        use(monkeypatch, peer=a_program(environment=told))
        add(alice, "spy")
        seen = call(alice, "mcp__spy__echo", text="x")["result"]

    assert set(seen["environment"]) <= {"PATH", "LANG", "HOME", "PWD", "LC_CTYPE", "SHLVL", *told}
    assert "canary" not in str(seen)
    assert seen["network"] != "reached"
    assert seen["processes"] < 5
