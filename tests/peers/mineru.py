"""MinerU's API v4 on loopback: its real paths and forms, its states, its zip answers; and it misbehaves on demand.

The shapes of its answers stand here alone, so that whoever has an account can hold them against the real ones.
"""

from __future__ import annotations

import io
import json
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

PDF = b"%PDF-1.4\n" + b"a page of it\n" * 20
TOKEN = "eyJhbGciOi.a-token"

ITEMS: list[dict[str, Any]] = [
    {"type": "header", "text": "page header", "page_idx": 0},
    {"type": "text", "text": "Annual report", "text_level": 1, "page_idx": 0},
    {"type": "text", "text": "The harbour earned more than ever.", "page_idx": 0},
    {"type": "text", "text": "Figures", "text_level": 2, "page_idx": 1},
    {
        "type": "table",
        "table_caption": ["Table 1: income"],
        "table_body": "<table><tr><th>Year</th><th>Income</th></tr><tr><td>2025</td><td>7 &amp; 8</td></tr></table>",
        "table_footnote": ["in millions"],
        "img_path": "images/t1.jpg",
        "page_idx": 1,
    },
    {"type": "equation", "text": "$$E = mc^2$$", "text_format": "latex", "page_idx": 2},
    {"type": "image", "img_path": "images/1.jpg", "image_caption": ["Figure 1: the quay"], "page_idx": 2},
    {"type": "list", "list_items": ["first", "second"], "page_idx": 2},
    {"type": "novel", "inner": {"words": "of an unknown kind"}, "page_idx": 3},
    {"type": "page_number", "text": "4", "page_idx": 3},
]


def zipped(items: Any = None, *, markdown: str = "# Annual report\n", name: str = "report_content_list.json") -> bytes:
    """A result as the service packs it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("full.md", markdown)
        archive.writestr(name, json.dumps(ITEMS if items is None else items, ensure_ascii=False))
        archive.writestr("images/1.jpg", b"\xff\xd8\xff")
    return packed.getvalue()


def bomb(kind: str) -> bytes:  # noqa: C901, PLR0912, PLR0915  each kind is a line or two
    """A zip that is meant to do harm."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        match kind:
            case "ratio":
                archive.writestr("x_content_list.json", b"[" + b" " * (64 << 20))
            case "total":
                for number in range(3):
                    archive.writestr(f"x_{number}.bin", b"\0" * 1000)
            case "entries":
                for number in range(6_000):
                    archive.writestr(f"{number}.md", b"")
            case "parent":
                archive.writestr("../../etc/content_list.json", b"[]")
            case "absolute":
                archive.writestr("/etc/content_list.json", b"[]")
            case "backslash":
                archive.writestr("..\\content_list.json", b"[]")
            case "symlink":
                link = zipfile.ZipInfo("x_content_list.json")
                link.external_attr = 0o120777 << 16
                archive.writestr(link, b"/etc/passwd")
            case "doubled":
                archive.writestr("x_content_list.json", b"[]")
                archive.writestr("X_content_list.json", b"[]")
            case "deep":
                archive.writestr("x_content_list.json", b'[{"type":"text","text":' + b"[" * 400_000)
            case "many brackets":
                archive.writestr("x_content_list.json", b"[" + b"[[],[]]," * 1_000_000)
            case "not json":
                archive.writestr("x_content_list.json", b"\x00\xff{{{")
            case _:
                archive.writestr("x_content_list.json", b"[]")
    content = bytearray(packed.getvalue())
    match kind:
        case "total":  # the directory says that each is 1 GiB
            at = 0
            while (at := content.find(b"PK\x01\x02", at)) >= 0:
                content[at + 24 : at + 28] = struct.pack("<L", 1 << 30)
                content[at + 20 : at + 24] = struct.pack("<L", 1 << 29)
                at += 4
        case "encrypted":
            at = content.find(b"PK\x01\x02")
            content[at + 8] |= 1
            content[content.find(b"PK\x03\x04") + 6] |= 1
        case "million":  # the end says that there are as many entries as can be said
            end = content.rfind(b"PK\x05\x06")
            content[end + 8 : end + 12] = struct.pack("<2H", 65_535, 65_535)
        case "wide directory":
            end = content.rfind(b"PK\x05\x06")
            content[end + 12 : end + 16] = struct.pack("<L", 500 << 20)
        case "cut":
            content = content[: len(content) // 2]
        case "html":
            content = bytearray(b"<html>not a zip</html>")
        case "empty":
            content = bytearray()
    return bytes(content)


BOMBS = (
    "ratio", "total", "entries", "parent", "absolute", "backslash", "symlink", "doubled", "deep", "many brackets",
    "not json", "encrypted", "million", "wide directory", "cut", "html",
)  # fmt: skip


@dataclass
class Mineru:
    """The service. `states` are what it says of a document, one a look, the last for ever."""

    states: list[str] = field(default_factory=lambda: ["pending", "running", "done"])
    result: bytes = field(default_factory=zipped)
    zip_url: str | None = None  # None: where it really is; "": it names none
    error: str = "the document is damaged"
    refuses: list[Any] = field(default_factory=list)  # HTTP statuses or codes of the next answers
    keys: tuple[str, ...] = ("ak-key", "sk-key")
    token: str = TOKEN
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://").partition("/")[0]

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.asked]

    def _said(self) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        said: dict[str, Any] = {"state": state, "err_msg": self.error if state in {"failed", "error"} else ""}
        if state in {"running", "converting"}:
            said["extract_progress"] = {"extracted_pages": 1, "total_pages": 4}
        if state in {"done", "success", "completed"}:
            said["full_zip_url"] = f"{self.url}/results/1.zip" if self.zip_url is None else self.zip_url
        return said

    def answer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """The `data` of an answer."""
        match method, path.removeprefix("/api/v4").split("/")[1:]:
            case "POST", ["token", "get_token"] if body.get("ak") in self.keys:
                return {"token": self.token, "expire": 7200}
            case "POST", ["token", "get_token_by_sk"] if body.get("sk") in self.keys:
                return {"token": self.token, "expire": 7200}
            case "POST", ["extract", "task"]:
                return {"task_id": "task-1"}
            case "GET", ["extract", "task", task_id]:
                return {"task_id": task_id, "data_id": "d", **self._said()}
            case "POST", ["file-urls", "batch"]:
                return {"batch_id": "batch-1", "file_urls": [f"{self.url}/put/{body['files'][0]['data_id']}"]}
            case "GET", ["extract-results", "batch", batch_id]:
                sent = next(told for _, where, told in reversed(self.asked) if where.endswith("/file-urls/batch"))
                own = {"file_name": sent["files"][0]["name"], "data_id": sent["files"][0]["data_id"], **self._said()}
                other = {"file_name": "other.pdf", "data_id": "other", "state": "failed", "err_msg": "not ours"}
                return {"batch_id": batch_id, "extract_result": [other, own]}
        raise KeyError(path)


@pytest.fixture
def mineru(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mineru]:
    """The service on loopback, the operator's leave to go there, and a key for it."""
    service = Mineru()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            content = self.rfile.read(length)
            if self.command == "PUT":
                service.files[self.path.rpartition("/")[2]] = content
                self._send(200, b"")
            elif self.path.startswith("/results/"):
                self._send(200, service.result)
            else:
                self._api(content)

        def _api(self, content: bytes) -> None:
            body = json.loads(content) if content else None
            service.asked.append((self.command, self.path, body))
            service.headers.append({name.lower(): value for name, value in self.headers.items()})
            refusal = service.refuses.pop(0) if service.refuses else 0
            if isinstance(refusal, int) and refusal >= 400:
                self._send(refusal, b"<html>busy</html>")
            elif isinstance(refusal, bytes):
                self._send(200, refusal)
            elif refusal:
                self._send(200, json.dumps({"code": refusal, "msg": "refused", "trace_id": "t"}).encode())
            else:
                data = service.answer(self.command, self.path, body)
                self._send(200, json.dumps({"code": 0, "msg": "ok", "trace_id": "t", "data": data}).encode())

        do_GET = do_POST = do_PUT = _serve  # noqa: N815  their names are the library's

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield service
    server.shutdown()
    server.server_close()


@pytest.fixture
def use_mineru(mineru: Mineru, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Configure the service: `use_mineru(api_key="", enabled=False, …)`."""
    from dataclasses import replace

    from django.conf import settings

    def use(**told: Any) -> None:
        told = {"api_key": TOKEN, "base_url": f"{mineru.url}/api/v4", "poll_interval_ms": 1, **told}
        server = replace(settings.CONFIG.server, outgoing_allow=(mineru.place,))
        service = replace(settings.CONFIG.mineru, **told)
        monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server, mineru=service))

    return use
