"""What is there: documents, folders, wikis, tables, sheets, as a test makes them."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("shapes.json").read_text(encoding="utf-8"))
SPACE = "6946843325487912356"
LONG_AGO = 1_650_000_000
_numbers = itertools.count(1)


def shaped(name: str, /, **values: Any) -> dict[str, Any]:
    """An entry as it was recorded, with these values."""
    unknown = set(values) - set(SHAPES[name]) - {"shortcut_info"}
    assert not unknown, f"{name} has no {unknown}"
    return copy.deepcopy(SHAPES[name]) | values


def block(kind: str, number: int, told: dict[str, Any], *, children: list[str] | None = None) -> dict[str, Any]:
    return {
        "block_id": f"blk{next(_numbers)}",
        "block_type": number,
        "parent_id": "",
        kind: told,
        "children": children or [],
    }


def text(content: str, kind: str = "text", number: int = 2, **style: Any) -> dict[str, Any]:
    told = copy.deepcopy(SHAPES["text"])
    told["elements"][0]["text_run"]["content"] = content
    told["style"] |= style
    return block(kind, number, told)


def heading(content: str, level: int = 1) -> dict[str, Any]:
    return text(content, f"heading{level}", 2 + level)


def table_blocks(rows: list[list[str]]) -> list[dict[str, Any]]:
    """A table block, its cells and what is in them, as the list of blocks has them."""
    found: list[dict[str, Any]] = []
    cells = []
    for row in rows:
        for content in row:
            inner = text(content)
            cell = block("table_cell", 32, {}, children=[inner["block_id"]])
            cells.append(cell["block_id"])
            found += [cell, inner]
    shape = {"row_size": len(rows), "column_size": len(rows[0])}
    return [block("table", 31, {"cells": cells, "property": shape}, children=cells), *found]


@dataclass
class Document:
    title: str
    blocks: list[dict[str, Any]]
    revision: int = 1
    modified: int = LONG_AGO
    comments: list[str] = field(default_factory=list)


@dataclass
class Table:
    name: str
    fields: list[tuple[str, int]]
    records: list[dict[str, Any]]
    revision: int = 1


@dataclass
class Node:
    token: str
    kind: str
    obj: str
    title: str
    parent: str = ""
    edited: int = LONG_AGO
    node_type: str = "origin"


@dataclass
class Said:
    """A message that the app has sent: to somebody or a chat, or as an answer to another message."""

    message_id: str
    once: str
    kind: str
    content: Any
    answers: str = ""
    to: str = ""
    in_thread: bool = False


@dataclass
class World:
    """All of it. `gone` and `forbidden` are tokens of whatever kind."""

    documents: dict[str, Document] = field(default_factory=dict)
    folders: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    apps: dict[str, dict[str, Table]] = field(default_factory=dict)
    sheets: dict[str, dict[str, list[list[Any]]]] = field(default_factory=dict)
    sheet_revisions: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    said: list[Said] = field(default_factory=list)

    def say(self, *, once: str, kind: str, content: str, **where: Any) -> Said:
        """Send a message, or find the one that was sent under the same `once`."""
        before = next((each for each in self.said if once and each.once == once), None)
        if before is None:
            before = Said(f"om_peer{next(_numbers)}", once, kind, json.loads(content), **where)
            self.said.append(before)
        return before

    def write(self, token: str, *blocks: dict[str, Any] | str, title: str = "", folder: str = "") -> Document:
        """Make a document, or write it anew: another revision, changed at another time."""
        made = [text(each) if isinstance(each, str) else each for each in blocks]
        before = self.documents.get(token)
        page = block("page", 1, {"elements": []}, children=_top(made))
        document = Document(title or (before.title if before else token), [page, *made])
        if before:
            document.revision, document.modified = before.revision + 1, before.modified + 60
        self.documents[token] = document
        if folder and not before:
            self.put(folder, "docx", token)
        return document

    def put(self, folder: str, kind: str, token: str, *, target: str = "") -> None:
        """Put something into a folder; a `shortcut` leads to a document."""
        entry = {"type": kind, "token": token}
        if kind == "shortcut":
            entry["shortcut_info"] = {"target_type": "docx", "target_token": target}  # type: ignore[assignment]
        self.folders.setdefault(folder, []).append(entry)
        if kind == "folder":
            self.folders.setdefault(token, [])

    def remove(self, token: str) -> None:
        """Delete something, wherever it is listed."""
        self.documents.pop(token, None)
        self.nodes = {name: node for name, node in self.nodes.items() if token not in (name, node.obj)}
        for name, entries in self.folders.items():
            self.folders[name] = [entry for entry in entries if entry["token"] != token]


def _top(blocks: list[dict[str, Any]]) -> list[str]:
    inner = {child for each in blocks for child in each["children"]}
    return [each["block_id"] for each in blocks if each["block_id"] not in inner]
