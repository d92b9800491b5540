"""An embedding provider on loopback, in OpenAI's form: `with embedding_peer() as peer`, then `peer.answer = …`.

`answer` is what to do with a request's texts: return vectors, or an HTTP status.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Vectors = Sequence[Sequence[float]]


def by_length(texts: Sequence[str]) -> Vectors:
    """Three dimensions that tell short texts from long ones."""
    return [[1.0, len(text) / 100, 0.5] for text in texts]


@dataclass
class EmbeddingPeer:
    """What was asked, and what is to be answered. Any thread may set it."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[Sequence[str]], Vectors | int] = by_length


@contextmanager
def embedding_peer() -> Iterator[EmbeddingPeer]:
    """Serve until the block ends."""
    peer = EmbeddingPeer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            peer.asked.append(request)
            answer = peer.answer(request["input"])
            self._send(answer, model=request["model"])

        def _send(self, answer: Vectors | int, *, model: str) -> None:
            status = answer if isinstance(answer, int) else 200
            rows = [] if isinstance(answer, int) else answer
            data = [{"object": "embedding", "index": at, "embedding": list(row)} for at, row in enumerate(rows)]
            body = {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
            text = json.dumps(body if status == 200 else {"error": {"message": "refused"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    peer.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
