"""The protocol: the official SDK's server around our doors."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import anyio
import mcp_types as types
import structlog
from asgiref.sync import sync_to_async
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from openintern import __version__
from openintern.errors import OpenInternError
from openintern.live.reading import DATABASE_AWAY, act, letting_go
from openintern.redaction import redact_text
from runs.mcp.serving.callers import Caller
from runs.mcp.serving.doors import DOORS, Door

logger = structlog.get_logger(__name__)

LARGEST_REQUEST = 1024 * 1024
_MOST_WAITING = 20  # calls of a process that wait for a run's news at a time
_INSTRUCTIONS = """\
OpenIntern keeps memories and gives tasks to agents. Search before you write. run_start records a task; run_follow tells
what happens in it. A run whose status is `waiting` waits for a person, who decides on the approvals page."""

_waiting = asyncio.Semaphore(_MOST_WAITING)


def server_for(caller: Caller) -> Server[Any]:
    """Return a server that acts in the caller's name."""
    return Server(
        "openintern",
        title="OpenIntern",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=_list_tools,
        on_call_tool=partial(_call_tool, caller=caller),
    )


async def _list_tools(context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[_described(door) for door in DOORS.values()])


def _described(door: Door) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=door.changes_nothing, destructive_hint=door.action == "cancel", open_world_hint=False
    )
    return types.Tool(name=door.name, description=door.description, input_schema=door.parameters, annotations=hints)


async def _call_tool(context: Any, params: types.CallToolRequestParams, *, caller: Caller) -> types.CallToolResult:
    """Answer a call. A refusal is a result for the model to read; a bug is told in one word and logged."""
    door = DOORS.get(params.name)
    if door is None:
        return _refused("NOT_FOUND", f"There is no tool {params.name[:80]}")
    try:
        result = await _enter(door, caller, params.arguments or {})
    except OpenInternError as error:
        return _refused(error.code, redact_text(error.message))
    except DATABASE_AWAY:
        return _refused("UNAVAILABLE", "The database can't be reached")
    except Exception:  # the outermost edge of a call: the client must not read a trace
        logger.exception("mcp: a call failed", tool=door.name)
        return _refused("INTERNAL_ERROR", "Something went wrong on our side")
    text = json.dumps(result, ensure_ascii=False)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=result)


async def _enter(door: Door, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
    def go_in() -> dict[str, Any]:
        return door.enter(caller.require(door.resource, door.action), arguments)

    if not door.may_wait:
        return await act(go_in)
    async with _waiting:  # in a thread of its own, so that it holds up nobody else
        return await sync_to_async(letting_go(go_in), thread_sensitive=False)()


def _refused(code: str, message: str) -> types.CallToolResult:
    text = json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


async def answer_http(
    caller: Caller, *, method: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Answer one HTTP request of the protocol, in JSON and without a session: status, headers, body."""
    manager = StreamableHTTPSessionManager(
        server_for(caller), json_response=True, stateless=True, max_request_body_size=LARGEST_REQUEST
    )
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": "/mcp", "raw_path": b"/mcp", "root_path": "", "query_string": b"", "headers": headers,
    }  # fmt: skip
    answer = _Answer(body)
    async with manager.run():
        await manager.handle_request(scope, answer.receive, answer.send)
    return answer.status, answer.headers, bytes(answer.body)


class _Answer:
    """Takes what an ASGI application sends."""

    def __init__(self, asked: bytes) -> None:
        self._asked: bytes | None = asked
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    async def receive(self) -> dict[str, Any]:
        if self._asked is None:
            await anyio.sleep_forever()  # nobody hangs up here: Django cancels the whole request
        asked, self._asked = self._asked, None
        return {"type": "http.request", "body": asked, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        else:
            self.body += message.get("body", b"")


async def serve_stdio(caller: Caller) -> None:
    """Speak on standard input and output until the input ends."""
    server = server_for(caller)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())
