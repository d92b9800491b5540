"""A foreign MCP server over HTTP on loopback: with a token, or behind OAuth client credentials of a server beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.peers.mcp import Peer

CLIENT, CLIENT_SECRET, TOKEN = "client-1", "canary-client-secret", "canary-bearer-token"


class McpSite(ThreadingHTTPServer):
    """Answers in JSON whoever has the token; keeps what it was asked for."""

    def __init__(self, *, behaviour: str = "good", redirects_to: str = "") -> None:
        self.peer = Peer(behaviour)
        self.redirects_to = redirects_to
        self.asked: list[str] = []
        self.grants = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: McpSite

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.startswith("/.well-known/oauth-protected-resource"):
            return self._say({"resource": f"{self.server.origin}/mcp", "authorization_servers": [self.server.origin]})
        if self.path.startswith("/.well-known/"):
            return self._say({
                "issuer": self.server.origin,
                "authorization_endpoint": f"{self.server.origin}/authorize",
                "token_endpoint": f"{self.server.origin}/token",
                "response_types_supported": ["code"],
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            })  # fmt: skip
        return self._say({}, status=405)

    def do_DELETE(self) -> None:
        self._say({}, status=405)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(self.path)
        if self.path == "/token":
            self.server.grants += 1
            return self._say({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})
        if self.server.redirects_to:
            return self._say({}, status=307, Location=self.server.redirects_to)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            where = f'Bearer resource_metadata="{self.server.origin}/.well-known/oauth-protected-resource/mcp"'
            return self._say({}, status=401, **{"WWW-Authenticate": where})
        message = json.loads(body)
        if "id" not in message:
            return self._say({}, status=202)
        return self._say({"jsonrpc": "2.0", "id": message["id"], "result": self.server.peer.answer(message)})

    def _say(self, told: Any, *, status: int = 200, **headers: str) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def mcp_site(**options: Any) -> Iterator[McpSite]:
    """Serve for the length of the block."""
    site = McpSite(**options)
    threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
