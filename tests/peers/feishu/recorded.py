"""Whether `shapes.json` is still how Feishu answers: what an account really answers is held against it, and taken over.

Names and types are looked at, and nothing else: no word of the account's documents gets into the file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.feishu import requests
from connectors.feishu.answers import Refusal
from connectors.feishu.asking import Asker
from connectors.feishu.values import entries

if TYPE_CHECKING:
    from lark_oapi.core.model import BaseRequest

Shapes = Mapping[str, Mapping[str, Any]]
#: How many things of each kind are looked at.
MOST = 5
_NEUTRAL: dict[type, Any] = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}, type(None): None}


@dataclass
class Comparison:
    """What differs, by the name of the shape and of the entry's field."""

    of_another_type: list[str] = field(default_factory=list)
    new: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    not_there: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


class _Look:
    """Asks, and keeps a few entries of each answer under the name of their shape."""

    def __init__(self, asker: Asker) -> None:
        self.found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._asker = asker

    def keep(self, shape: str, request: BaseRequest, name: str) -> list[dict[str, Any]]:
        """Ask, and keep what stands under `name`: a list of entries, or one. An app may lack the right to it: that is unseen."""
        try:
            data = self._asker.ask(request)
        except Refusal:
            return []
        told = [data[name]] if isinstance(data.get(name), dict) else entries(data, name)
        self.found[shape] += told[:MOST]
        return told[:MOST]


def seen(asker: Asker, *, folder: str, space: str = "") -> dict[str, list[dict[str, Any]]]:
    """Ask for what is in a folder (and a wiki space): a few of each kind, what lists and details show of them."""
    look = _Look(asker)
    files = look.keep("GET /open-apis/drive/v1/files", requests.files(folder, ""), "files")
    for each in files:
        _look_into(look, str(each.get("type")), str(each.get("token")))
    if space:
        look.keep("GET /open-apis/wiki/v2/spaces/:space_id/nodes", requests.nodes(space, "", ""), "items")
    look.keep("GET /open-apis/bot/v3/info", requests.bot(), "bot")
    return look.found


def _look_into(look: _Look, kind: str, token: str) -> None:
    if kind in {"docx", "sheet", "bitable"}:
        look.keep("POST /open-apis/drive/v1/metas/batch_query", requests.metas(token, (kind,)), "metas")
    match kind:
        case "docx":
            look.keep("GET /open-apis/docx/v1/documents/:document_id", requests.document(token), "document")
            remarks = "GET /open-apis/drive/v1/files/:file_token/comments"
            look.keep(remarks, requests.comments(token, "docx", ""), "items")
        case "sheet":
            info = "GET /open-apis/sheets/v2/spreadsheets/:spreadsheetToken/metainfo"
            look.keep(info, requests.sheet_info(token), "sheets")
        case "bitable":
            app = "GET /open-apis/bitable/v1/apps/:app_token"
            look.keep(app, requests.app(token), "app")
            for table in look.keep(f"{app}/tables", requests.tables(token, ""), "items")[:1]:
                name = str(table.get("table_id"))
                look.keep(f"{app}/tables/:table_id/fields", requests.fields(token, name, ""), "items")
                records = "POST /open-apis/bitable/v1/apps/:app_token/tables/:table_id/records/search"
                look.keep(records, requests.records(token, name, "", most=MOST), "items")


def compared(recorded: Shapes, answers: Mapping[str, list[dict[str, Any]]]) -> Comparison:
    """Hold what was answered against what is recorded. What no answer had may be left out where it is empty."""
    comparison = Comparison()
    for name, shape in recorded.items():
        if not name.startswith(("GET ", "POST ")) or name == "POST /open-apis/im/v1/messages":
            continue  # an event, or what is sent rather than asked
        rows = answers.get(name, [])
        if not rows:
            comparison.unseen.append(name)
            continue
        for key, value in shape.items():
            there = [row[key] for row in rows if key in row]
            if not there:
                comparison.not_there.append(f"{name}: {key}")
            elif value is not None and any(type(each) is not type(value) for each in there if each is not None):
                comparison.of_another_type.append(
                    f"{name}: {key} is {', '.join(sorted({type(each).__name__ for each in there}))}"
                )
        for row in rows:
            extra = {key: _NEUTRAL[type(value)] for key, value in row.items() if key not in shape}
            if extra := {key: value for key, value in extra.items() if key != "shortcut_info"}:
                comparison.new[name] |= extra
    return comparison


def refresh(path: Path, comparison: Comparison) -> None:
    """Take over what is new, with empty values; one line for each shape, as the file is written."""
    shapes = json.loads(path.read_text(encoding="utf-8"))
    for name, extra in comparison.new.items():
        shapes[name] |= extra
    lines = [f"  {json.dumps(name)}: {json.dumps(shape, ensure_ascii=False)}" for name, shape in shapes.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
