"""A table of a table app: what fields it has, and of every record all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.feishu import requests
from connectors.feishu.asking import Asker
from connectors.feishu.reading.said import Said, all_pages
from connectors.feishu.reading.words import cell, moment
from connectors.feishu.values import is_token, text_of, whole
from connectors.models import Source
from memory.documents.parts import Part, heading, paragraph

#: Types of fields by number; those of a moment are told as dates.
_TYPES: Final = {
    1: "text", 2: "number", 3: "choice", 4: "choices", 5: "date", 7: "checkbox", 11: "person", 13: "phone", 15: "link",
    17: "attachment", 18: "relation", 19: "lookup", 20: "formula", 21: "relation", 22: "place", 23: "group",
    1001: "created", 1002: "changed", 1003: "created by", 1004: "changed by", 1005: "number",
}  # fmt: skip
_MOMENTS: Final = frozenset({5, 1001, 1002})
_MOST_FIELDS: Final = 500


def read(asker: Asker, source: Source, config: Mapping[str, Any]) -> Said | None:
    """Return what a table says; None where its app's and its own revision were read before."""
    if source.marker and source.marker == source.revision:
        return None
    most = int(config["max_records_per_table"])
    said = Said(source.title, source.marker, about={"records": 0})
    types: dict[str, int] = {}
    said.add(heading(said.title, level=1) if said.title else None)
    pages = all_pages(lambda page: asker.ask(requests.fields(source.token, source.table, page)))
    for each in pages:
        if (name := text_of(each, "field_name")) and len(types) < _MOST_FIELDS:
            types[name] = whole(each.get("type")) or 0
    said.add(_fields(types))
    for record in _records(asker, source, most=most):
        if said.about["records"] == most:
            said.about["has_more_records"] = True
            break
        said.about["records"] += 1
        said.add(_record(record, types))
    return said


def _fields(types: Mapping[str, int]) -> Part | None:
    told = [f"{name} ({_TYPES[kind]})" if kind in _TYPES else name for name, kind in types.items()]
    return paragraph("字段: " + ", ".join(told)) if told else None


def _records(asker: Asker, source: Source, *, most: int) -> Iterator[dict[str, Any]]:
    return all_pages(lambda page: asker.ask(requests.records(source.token, source.table, page, most=most)))


def _record(record: Mapping[str, Any], types: Mapping[str, int]) -> Part | None:
    """A record, field by field in the table's order; none is left out for being short."""
    told = record.get("fields")
    if not isinstance(told, dict):
        return None
    names = [*[name for name in types if name in told], *[name for name in told if name not in types]]
    lines = []
    for name in names:
        shown = moment(told[name]) if types.get(name) in _MOMENTS else cell(told[name])
        if shown.strip():
            lines.append(f"{' '.join(name.split())}: {' '.join(shown.split())}")
    if not lines:
        return None
    record_id = record.get("record_id")
    part = paragraph("\n".join(lines))
    return Part(part.kind, part.text, anchor=record_id if is_token(record_id) else "")
