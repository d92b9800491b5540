"""A spreadsheet: every sheet's cells, as people see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from connectors.feishu import requests
from connectors.feishu.answers import BadAnswer, Refusal
from connectors.feishu.asking import Asker
from connectors.feishu.reading.said import Said
from connectors.feishu.reading.words import cell
from connectors.feishu.values import entries, is_token, text_of, whole
from connectors.models import Source
from memory.documents.parts import heading, table

CELLS_A_CALL: Final = 20_000
MOST_CELLS: Final = 2_000_000
ROWS_A_PART: Final = 40
_WIDEST: Final = 5_000


def read(asker: Asker, source: Source, config: Mapping[str, Any]) -> Said | None:
    """Return what a spreadsheet says; None where its revision was read before."""
    told = asker.ask(requests.sheet_info(source.token))
    properties = told.get("properties")
    if not isinstance(properties, dict) or (revision := whole(properties.get("revision"))) is None:
        raise BadAnswer("there is no spreadsheet with a revision in it")
    if str(revision) == source.revision:
        return None
    said = Said(text_of(properties, "title") or source.title, str(revision))
    said.add(heading(said.title, level=1) if said.title else None)
    left = MOST_CELLS
    for each in entries(told, "sheets"):
        sheet_id, rows, columns = each.get("sheetId"), whole(each.get("rowCount")), whole(each.get("columnCount"))
        if not is_token(sheet_id) or not rows or not columns or rows < 0 or not 0 < columns <= _WIDEST:
            continue  # a sheet that is no grid of cells: a table app that is embedded, a dashboard
        left -= rows * columns
        if left < 0:
            raise Refusal("TOO_LARGE", f"It has more than {MOST_CELLS:,} cells; split it")
        _add_sheet(said, text_of(each, "title"), _rows(asker, source.token, sheet_id, rows=rows, columns=columns))
    return said


def _add_sheet(said: Said, title: str, rows: Iterator[list[str]]) -> None:
    """Add a sheet in pieces, each with its head: a passage out of the middle is of no use without it."""
    head = next(rows, None)
    if head is None:
        return
    said.add(heading(title, level=2) if title else None)
    body: list[list[str]] = []
    for row in rows:
        body.append(row)
        if len(body) == ROWS_A_PART:
            said.add(table([head, *body]))
            body = []
    if body:
        said.add(table([head, *body]))
    elif not said.parts or said.parts[-1].kind == "heading":
        said.add(table([head]))


def _rows(asker: Asker, token: str, sheet_id: str, *, rows: int, columns: int) -> Iterator[list[str]]:
    """Yield the rows that have something in them."""
    step = max(CELLS_A_CALL // columns, 1)
    for first in range(1, rows + 1, step):
        place = f"{sheet_id}!A{first}:{column_name(columns)}{min(first + step - 1, rows)}"
        values = asker.ask(requests.cells(token, place)).get("valueRange")
        values = values.get("values") if isinstance(values, dict) else None
        for row in values if isinstance(values, list) else []:
            shown = [cell(each) for each in row] if isinstance(row, list) else []
            if any(each.strip() for each in shown):
                yield shown


def column_name(number: int) -> str:
    """A, B, …, Z, AA, …"""
    name = ""
    while number:
        number, letter = divmod(number - 1, 26)
        name = chr(ord("A") + letter) + name
    return name
