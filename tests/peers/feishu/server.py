"""The server: what is asked, who may ask, what goes wrong."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.peers.feishu.events import BOT
from tests.peers.feishu.world import SPACE, World, shaped

APP_ID = "cli_a1b2c3"
APP_SECRET = "canarySecret7QxAppSecret"
TOKEN_PATH = "/open-apis/auth/v3/tenant_access_token/internal"


class Refused(Exception):
    def __init__(self, status: int, code: int, msg: str = "refused") -> None:
        super().__init__(msg)
        self.answer = (status, {"code": code, "msg": msg, "data": {}})


@dataclass
class Fault:
    """What happens to the next requests whose path matches, `times` of them, after `skip` went well."""

    path: re.Pattern[str]
    times: int
    skip: int = 0
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cuts: bool = False


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    body: Any


class Feishu(ThreadingHTTPServer):
    """`asked` is what it was asked, `page_size` what it gives at once; `hold` stops an answer until it is let go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.world = World()
        self.asked: list[Asked] = []
        self.page_size = 1_000
        self.tokens: set[str] = set()
        self.tokens_given = 0
        self.refuses_every_token = False
        self.faults: list[Fault] = []
        self.repeats = ""
        self._held: tuple[re.Pattern[str], threading.Event, threading.Event] | None = None
        self._lock = threading.Lock()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.place}"

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(1 for each in self.asked if re.search(pattern, each.path))

    def fail(
        self, path: str, *, times: int = 1, code: int = 0, status: int = 200, skip: int = 0, **headers: str
    ) -> None:
        """Refuse requests with a code."""
        body = json.dumps({"code": code, "msg": "refused", "data": {}}).encode()
        self.faults.append(Fault(re.compile(path), times, skip, status, body, headers))

    def answer(self, path: str, body: bytes, *, status: int = 200, times: int = 1, cuts: bool = False) -> None:
        """Answer requests with just this; `cuts`: and close in the middle of it."""
        self.faults.append(Fault(re.compile(path), times, 0, status, body, {}, cuts))

    def hold(self, path: str) -> tuple[threading.Event, Callable[[], None]]:
        """Hold the next answer to such a request: an event for "it is asked", and what lets it go."""
        asked, go = threading.Event(), threading.Event()
        self._held = (re.compile(path), asked, go)
        return asked, go.set

    def forget_tokens(self) -> None:
        """Let every token have expired."""
        self.tokens.clear()

    def wait_if_held(self, path: str) -> None:
        held = self._held
        if held and held[0].search(path):
            self._held = None
            held[1].set()
            held[2].wait(30)

    def fault_of(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.path.search(path):
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    fault.times -= 1
                    return fault
        return None

    # --- what is answered

    def reply(self, asked: Asked, authorization: str) -> dict[str, Any]:
        if asked.path == TOKEN_PATH:
            return self._token(asked.body)
        if self.refuses_every_token or authorization.removeprefix("Bearer ") not in self.tokens:
            raise Refused(400, 99991663, "Invalid access token")
        for pattern, method, answer in _ROUTES:
            if asked.method == method and (found := pattern.fullmatch(asked.path)):
                steps = [unquote(step) for step in found.groups()]
                self._require(steps)
                told = answer(self, asked, *steps)
                beside = told if asked.path == _BESIDE else {"data": told}
                return {"code": 0, "msg": "success"} | beside
        raise Refused(404, 99991404, "no such path")

    def _token(self, body: Any) -> dict[str, Any]:
        if body != {"app_id": APP_ID, "app_secret": APP_SECRET}:
            return {"code": 10014, "msg": "app secret invalid"}
        self.tokens_given += 1
        token = f"t-g1044peer{self.tokens_given:06d}"
        self.tokens.add(token)
        return {"code": 0, "msg": "ok", "tenant_access_token": token, "expire": 7200}

    def _require(self, steps: list[str]) -> None:
        for step in steps:
            if step in self.world.gone:
                raise Refused(404, 1770002, "not found")
            if step in self.world.forbidden:
                raise Refused(403, 1770032, "forbidden")

    def page(
        self, asked: Asked, rows: list[Any], *, most: int, name: str = "items", next_name: str = "page_token"
    ) -> dict[str, Any]:
        size = int(asked.query.get("page_size", "0") or most)
        assert size <= most, f"{asked.path} gives at most {most} a page"
        size, at = min(size, self.page_size), int(asked.query.get("page_token", "p0").removeprefix("p"))
        has_more = at + size < len(rows)
        told: dict[str, Any] = {name: rows[at : at + size], "has_more": has_more}
        if has_more:
            told[next_name] = f"p{at + size}"
        if self.repeats and re.search(self.repeats, asked.path):
            told |= {"has_more": True, next_name: "p1"}
        return told


def _files(peer: Feishu, asked: Asked) -> dict[str, Any]:
    folder = asked.query.get("folder_token", "")
    peer._require([folder])
    if folder not in peer.world.folders:
        raise Refused(404, 1061003, "not found")
    rows = []
    for entry in peer.world.folders[folder]:
        document = peer.world.documents.get(entry["token"])
        told = (
            {"name": document.title, "modified_time": str(document.modified)} if document else {"name": entry["token"]}
        )
        rows.append(shaped("GET /open-apis/drive/v1/files", **(told | entry)))
    return peer.page(asked, rows, most=200, name="files", next_name="next_page_token")


def _metas(peer: Feishu, asked: Asked) -> dict[str, Any]:
    metas, failed = [], []
    for each in asked.body["request_docs"]:
        token, kind = each["doc_token"], each["doc_type"]
        known = {"docx": peer.world.documents, "sheet": peer.world.sheets, "bitable": peer.world.apps}[kind]
        if token in known and token not in peer.world.gone | peer.world.forbidden:
            modified = str(peer.world.documents[token].modified) if kind == "docx" else "1650000000"
            told = {"doc_token": token, "doc_type": kind, "latest_modify_time": modified}
            metas.append(shaped("POST /open-apis/drive/v1/metas/batch_query", **told))
        else:
            failed.append({"token": token, "code": 970005})
    return {"metas": metas, "failed_list": failed}


def _node_of(peer: Feishu, token: str) -> dict[str, Any]:
    node = peer.world.nodes[token]
    has_child = any(each.parent == token for each in peer.world.nodes.values())
    return shaped(
        "GET /open-apis/wiki/v2/spaces/:space_id/nodes", node_token=token, obj_token=node.obj, obj_type=node.kind,
        title=node.title, parent_node_token=node.parent, has_child=has_child, obj_edit_time=str(node.edited),
        node_type=node.node_type,
    )  # fmt: skip


def _get_node(peer: Feishu, asked: Asked) -> dict[str, Any]:
    token = asked.query["token"]
    if token in peer.world.forbidden:
        raise Refused(400, 131006, "permission denied")
    if token not in peer.world.nodes:
        raise Refused(400, 131005, "not found")
    return {"node": _node_of(peer, token)}


def _nodes(peer: Feishu, asked: Asked, space: str) -> dict[str, Any]:
    if space != SPACE:
        raise Refused(400, 131005, "not found")
    parent = asked.query.get("parent_node_token", "")
    rows = [_node_of(peer, token) for token, node in peer.world.nodes.items() if node.parent == parent]
    return peer.page(asked, rows, most=50)


def _document_of(peer: Feishu, token: str) -> Any:
    if token not in peer.world.documents:
        raise Refused(404, 1770002, "not found")
    return peer.world.documents[token]


def _document(peer: Feishu, asked: Asked, token: str) -> dict[str, Any]:
    document = _document_of(peer, token)
    told = {"document_id": token, "revision_id": document.revision, "title": document.title}
    return {"document": shaped("GET /open-apis/docx/v1/documents/:document_id", **told)}


def _blocks(peer: Feishu, asked: Asked, token: str) -> dict[str, Any]:
    document = _document_of(peer, token)
    if int(asked.query.get("document_revision_id", "-1")) not in (-1, document.revision):
        raise Refused(400, 1770021, "too old document")
    return peer.page(asked, document.blocks, most=500)


def _app(peer: Feishu, asked: Asked, app: str) -> dict[str, Any]:
    tables = _app_of(peer, app)
    revision = sum(table.revision for table in tables.values())
    return {
        "app": shaped("GET /open-apis/bitable/v1/apps/:app_token", app_token=app, name=f"{app} name", revision=revision)
    }


def _app_of(peer: Feishu, app: str) -> Any:
    if app not in peer.world.apps:
        raise Refused(404, 1254040, "BaseTokenNotFound")
    return peer.world.apps[app]


def _tables(peer: Feishu, asked: Asked, app: str) -> dict[str, Any]:
    shape = "GET /open-apis/bitable/v1/apps/:app_token/tables"
    rows = [
        shaped(shape, table_id=name, name=table.name, revision=table.revision)
        for name, table in _app_of(peer, app).items()
    ]
    return peer.page(asked, rows, most=100)


def _fields(peer: Feishu, asked: Asked, app: str, table: str) -> dict[str, Any]:
    shape = "GET /open-apis/bitable/v1/apps/:app_token/tables/:table_id/fields"
    rows = [shaped(shape, field_name=name, type=kind) for name, kind in _app_of(peer, app)[table].fields]
    return peer.page(asked, rows, most=100)


def _records(peer: Feishu, asked: Asked, app: str, table: str) -> dict[str, Any]:
    assert "page_size" not in asked.body, "page and its size are parameters of the address"
    shape = "POST /open-apis/bitable/v1/apps/:app_token/tables/:table_id/records/search"
    records = _app_of(peer, app)[table].records
    rows = [shaped(shape, record_id=f"rec{number}", fields=fields) for number, fields in enumerate(records)]
    return peer.page(asked, rows, most=500) | {"total": len(rows)}


def _sheet_info(peer: Feishu, asked: Asked, token: str) -> dict[str, Any]:
    if token not in peer.world.sheets:
        raise Refused(404, 1310214, "SpreadSheet Not Found")
    shape = "GET /open-apis/sheets/v2/spreadsheets/:spreadsheetToken/metainfo"
    sheets = [
        shaped(
            shape,
            sheetId=f"s{number}",
            title=title,
            rowCount=max(len(rows), 1),
            columnCount=max(map(len, rows), default=1),
        )
        for number, (title, rows) in enumerate(peer.world.sheets[token].items())
    ]
    properties = {
        "title": token,
        "ownerUser": 0,
        "sheetCount": len(sheets),
        "revision": peer.world.sheet_revisions.get(token, 1),
    }
    return {"spreadsheetToken": token, "properties": properties, "sheets": sheets}


def _cells(peer: Feishu, asked: Asked, token: str, place: str) -> dict[str, Any]:
    found = re.fullmatch(r"s(\d+)!A(\d+):[A-Z]+(\d+)", place)
    assert found, place
    rows = list(peer.world.sheets[token].values())[int(found[1])][int(found[2]) - 1 : int(found[3])]
    return {
        "revision": 1,
        "spreadsheetToken": token,
        "valueRange": {"range": place, "majorDimension": "ROWS", "values": rows},
    }


def _comments(peer: Feishu, asked: Asked, token: str) -> dict[str, Any]:
    assert asked.query["file_type"] == "docx"
    rows = []
    for said in _document_of(peer, token).comments:
        reply = shaped("reply", content={"elements": [{"type": "text_run", "text_run": {"text": said}}]})
        rows.append(
            shaped(
                "GET /open-apis/drive/v1/files/:file_token/comments",
                quote="the passage",
                reply_list={"replies": [reply]},
            )
        )
    return peer.page(asked, rows, most=100)


def _bot(peer: Feishu, asked: Asked) -> dict[str, Any]:
    return {"bot": shaped("GET /open-apis/bot/v3/info", open_id=BOT)}


def _reply(peer: Feishu, asked: Asked, message: str) -> dict[str, Any]:
    return _said(peer, asked, answers=message, in_thread=asked.body.get("reply_in_thread", False))


def _send(peer: Feishu, asked: Asked) -> dict[str, Any]:
    assert asked.query["receive_id_type"] in {"open_id", "chat_id"}
    return _said(peer, asked, to=asked.body["receive_id"])


def _said(peer: Feishu, asked: Asked, **where: Any) -> dict[str, Any]:
    kind, once = asked.body["msg_type"], asked.body["uuid"]
    most = 150_000 if kind == "text" else 30_000
    if len(json.dumps(asked.body, ensure_ascii=False).encode()) > most:
        raise Refused(400, 230025, "The length of the message content reaches its limit.")
    assert 0 < len(once) <= 50, "what tells one sending from another has at most 50 characters"
    said = peer.world.say(once=once, kind=kind, content=asked.body["content"], **where)
    told = {"message_id": said.message_id, "msg_type": kind, "body": {"content": asked.body["content"]}}
    return shaped("POST /open-apis/im/v1/messages", **told)


def _update(peer: Feishu, asked: Asked, message: str) -> dict[str, Any]:
    said = next((each for each in peer.world.said if each.message_id == message), None)
    if said is None:
        raise Refused(400, 230001, "Your request contains an invalid request parameter, ext=invalid message_id.")
    assert said.kind == "interactive", "only cards are changed so"
    said.content = json.loads(asked.body["content"])
    return {}


_STEP = "([^/]+)"
#: The oldest answer beside the code.
_BESIDE = "/open-apis/bot/v3/info"
_ROUTES: list[tuple[re.Pattern[str], str, Callable[..., dict[str, Any]]]] = [
    (re.compile(path.replace("*", _STEP)), method, answer)
    for method, path, answer in (
        ("GET", "/open-apis/drive/v1/files", _files),
        ("POST", "/open-apis/drive/v1/metas/batch_query", _metas),
        ("GET", "/open-apis/drive/v1/files/*/comments", _comments),
        ("GET", "/open-apis/wiki/v2/spaces/get_node", _get_node),
        ("GET", "/open-apis/wiki/v2/spaces/*/nodes", _nodes),
        ("GET", "/open-apis/docx/v1/documents/*", _document),
        ("GET", "/open-apis/docx/v1/documents/*/blocks", _blocks),
        ("GET", "/open-apis/bitable/v1/apps/*", _app),
        ("GET", "/open-apis/bitable/v1/apps/*/tables", _tables),
        ("GET", "/open-apis/bitable/v1/apps/*/tables/*/fields", _fields),
        ("POST", "/open-apis/bitable/v1/apps/*/tables/*/records/search", _records),
        ("GET", "/open-apis/bot/v3/info", _bot),
        ("POST", "/open-apis/im/v1/messages", _send),
        ("POST", "/open-apis/im/v1/messages/*/reply", _reply),
        ("PATCH", "/open-apis/im/v1/messages/*", _update),
        ("GET", "/open-apis/sheets/v2/spreadsheets/*/metainfo", _sheet_info),
        ("GET", "/open-apis/sheets/v2/spreadsheets/*/values/*", _cells),
    )
]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Feishu

    def do_GET(self) -> None:
        self._handle(None)

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._handle(json.loads(content or b"{}"))

    def _handle(self, body: Any) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(self.command, parts.path, query, body)
        self.server.asked.append(asked)
        self.server.wait_if_held(parts.path)
        if fault := self.server.fault_of(parts.path):
            self._send(fault.status, fault.body, fault.headers, cuts=fault.cuts)
            return
        try:
            status, answer = 200, self.server.reply(asked, self.headers.get("Authorization", ""))
        except Refused as refused:
            status, answer = refused.answer
        self._send(status, json.dumps(answer).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, cuts: bool = False) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body) + (100 if cuts else 0)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if cuts:
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def feishu_peer() -> Iterator[Feishu]:
    peer = Feishu()
    threading.Thread(target=peer.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield peer
    finally:
        peer.shutdown()
        peer.server_close()
