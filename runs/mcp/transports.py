"""How a server is reached: a child of ours over pipes, or an address over guarded HTTP. All that comes in is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

import anyio
import httpcore2
import httpx2
import mcp_types as types
from mcp.client.auth import TokenStorage
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from openintern.outgoing import CONNECT_SECONDS, Unreachable, check_url, judged
from openintern.redaction import redact_text

LARGEST_MESSAGE: Final = 4 * 1024 * 1024
LARGEST_ANSWER: Final = 8 * 1024 * 1024  # of one HTTP response
_LAST_WORDS: Final = 2_000  # bytes of standard error that are kept for the admin


@dataclass
class Child:
    """A process of ours that speaks the protocol, as a transport of the SDK's client: entered, it gives the two streams."""

    command: list[str]
    environment: dict[str, str]
    last_words: bytearray = field(default_factory=bytearray)
    pid: int = 0
    was_too_loud: bool = False

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Any]:
        """Start it, pass messages on, and end it and all that it started when the block ends. Raises OSError."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
            cwd="/",
            start_new_session=True,
            limit=LARGEST_MESSAGE,
        )
        self.pid = process.pid
        heard_in, heard = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        said, said_out = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear, process, heard_in)
                tasks.start_soon(self._say, process, said_out, heard_in)
                tasks.start_soon(self._note, process)
                try:
                    yield heard, said
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            for stream in (heard_in, heard, said, said_out):
                stream.close()
            await self._end(process)

    async def _hear(self, process: asyncio.subprocess.Process, heard_in: Any) -> None:
        """Pass on what it says, a line a message. A line without end is its end."""
        reader = cast(asyncio.StreamReader, process.stdout)
        async with heard_in:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                while True:
                    try:
                        line = await reader.readline()
                    except ValueError:
                        self.was_too_loud = True
                        return
                    if not line:
                        return
                    await heard_in.send(_parsed(line))

    async def _say(self, process: asyncio.subprocess.Process, said_out: Any, heard_in: Any) -> None:
        writer = cast(asyncio.StreamWriter, process.stdin)
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError):
            async for message in said_out:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                try:
                    writer.write(text.encode() + b"\n")
                    await writer.drain()
                except OSError:
                    await heard_in.aclose()  # whoever waits for an answer hears that the connection has ended
                    return

    async def _note(self, process: asyncio.subprocess.Process) -> None:
        reader = cast(asyncio.StreamReader, process.stderr)
        while chunk := await reader.read(4096):
            self.last_words += chunk
            del self.last_words[:-_LAST_WORDS]

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """End its whole process group at once: what it wanted to finish, nobody hears of any more."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True), anyio.move_on_after(2):
            await process.wait()
            await self._note(process)
        transport = getattr(process, "_transport", None)  # open as long as somebody holds a pipe's other end
        if transport is not None:
            transport.close()

    def words(self) -> str:
        """What it said last on standard error."""
        return redact_text(bytes(self.last_words).decode("utf-8", "replace").strip())


def _parsed(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except (ValueError, RecursionError) as error:
        return error


@dataclass(frozen=True)
class Place:
    """An address, and what opens it."""

    url: str
    bearer: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    issuer: str = ""
    oauth_scope: str = ""

    @asynccontextmanager
    async def streams(self) -> AsyncGenerator[Any]:
        """Connect; judged as text now, and as numbers whenever a connection is made. Raises Unreachable."""
        check_url(self.url)
        headers = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        async with (
            httpx2.AsyncClient(
                transport=_Guarded(),
                headers={"User-Agent": "OpenIntern", "Accept-Encoding": "identity", **headers},
                auth=self._auth(),
                timeout=httpx2.Timeout(60, connect=CONNECT_SECONDS),
                trust_env=False,
                follow_redirects=False,
            ) as http,
            streamable_http_client(self.url, http_client=http, max_sse_event_size=LARGEST_MESSAGE) as streams,
        ):
            yield streams

    def _auth(self) -> httpx2.Auth | None:
        if not self.client_secret:
            return None
        return ClientCredentialsOAuthProvider(
            server_url=self.url,
            storage=_Tokens(),
            client_id=self.client_id,
            client_secret=self.client_secret,
            scope=self.oauth_scope or None,
            issuer=self.issuer,
        )


class _Tokens(TokenStorage):
    """Tokens live as long as the connection that got them."""

    def __init__(self) -> None:
        self._tokens: Any = None
        self._client: Any = None

    async def get_tokens(self) -> Any:
        return self._tokens

    async def set_tokens(self, tokens: Any) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> Any:
        return self._client

    async def set_client_info(self, client_info: Any) -> None:
        self._client = client_info


class _Guarded(httpx2.AsyncHTTPTransport):
    """The client's transport over a pool that judges addresses when it connects; answers are bounded."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        context = httpx2.create_ssl_context(trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=context, network_backend=_Backend())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            check_url(str(request.url))
        except Unreachable as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        response = await super().handle_async_request(request)
        response.stream = _Bounded(cast(httpx2.AsyncByteStream, response.stream))
        return response


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error where it grows too large. A stream of events may be longer, for it is read away."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > LARGEST_ANSWER:
                raise httpx2.ReadError(f"more than {LARGEST_ANSWER} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Backend(httpcore2.AsyncNetworkBackend):
    """As `openintern.outgoing`: a name is resolved once, every address it stands for is judged, and just those are used."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await anyio.to_thread.run_sync(judged, host, port)
        except Unreachable as error:
            raise httpcore2.ConnectError(str(error)) from error
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("Not an address")

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
