"""A model that has been taken over: it does whatever any text in its context tells it to, wherever that text stands.

An order is `OBEY tool name=value …;`, its values percent-encoded. Each is carried out once in a conversation, all that are open at the same time; when
none is left, the model says so. It answers in OpenAI's format, as the peer it is made from.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from tests.peers.llm import LoggedRequest, Peer, PeerHandler, PeerServer, Step

_ORDER = re.compile(r"OBEY (\w+)((?: \w+=[^\s;]+)*);")
NOTHING_LEFT = "There is nothing left to obey."


class ObedientPeer(Peer):
    """The peer's state; what it answers follows from what it is sent."""

    def arrive(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[LoggedRequest, Step]:
        """Log the request, and obey it."""
        entry, _ = super().arrive(path, headers, body)
        done = [_signature(call) for message in body["messages"] for call in message.get("tool_calls") or []]
        said = "\n".join(_texts(message) for message in body["messages"])
        orders = list(dict.fromkeys(_ORDER.findall(said)))
        calls = [{"name": name, "arguments": _arguments(rest)} for name, rest in orders]
        open_calls = [call for call in calls if json.dumps([call["name"], call["arguments"]]) not in done]
        return entry, {"tool_calls": open_calls} if open_calls else {"text": NOTHING_LEFT}


def _arguments(rest: str) -> dict[str, str]:
    return {name: unquote(value) for name, value in (pair.split("=", 1) for pair in rest.split())}


def _signature(call: dict[str, Any]) -> str:
    function = call["function"]
    return json.dumps([function["name"], json.loads(function["arguments"] or "{}")])


def _texts(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


@contextmanager
def obedient_peer() -> Iterator[ObedientPeer]:
    """A taken-over model that serves in a thread for the length of the block."""
    peer = ObedientPeer()
    server = PeerServer(("127.0.0.1", 0), type("ObedientHandler", (PeerHandler,), {"peer": peer}))
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
