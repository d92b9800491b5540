"""From what MinerU found in a document to parts: nothing is cut, headings keep their level, everything its page.

The list is read an item at a time, so that one that is made to grow in memory grows by no more than an item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from typing import Any, Final

from connectors.mineru.archive import Found
from connectors.mineru.refusals import Refused
from memory.documents import parts as making
from memory.documents.parts import Part
from memory.documents.reading import LONGEST_TEXT

MOST_ITEMS: Final = 200_000
#: Characters of one item; the pieces that are tried for it, so that a short one costs little.
_TRIES: Final = (8 * 1024, 128 * 1024, 2 * 1024 * 1024)
_DEEPEST: Final = 3
_LONGEST_TABLE: Final = 512 * 1024  # characters; a longer one stays as it is written
_BLANK: Final = re.compile(r"[\s,]*")
#: What stands on every page, and says nothing of the document.
_FURNITURE: Final = frozenset({"header", "footer", "page_number", "discarded"})
#: What isn't text, although it is a string.
_NO_TEXT: Final = frozenset(
    {"type", "sub_type", "img_path", "text_format", "bbox", "page_idx", "text_level", "guess_lang"}
)
_TEXTS: Final = (
    "text", "content", "title", "caption", "equation", "latex", "code_caption", "code_body", "image_caption",
    "img_caption", "chart_caption", "list_items", "image_footnote", "img_footnote", "chart_footnote", "code_footnote",
)  # fmt: skip


def parts_of(found: Found) -> list[Part]:
    """Return the parts of a document. Raises Refused: MINERU_EMPTY_CONTENT, MINERU_ZIP_REFUSED."""
    made = list(_bounded(part for item in items(found.content_list) for part in part_of(item)))
    if not made and found.markdown.strip():
        made = list(_bounded(_from_markdown(found.markdown)))
    if not made:
        raise Refused("MINERU_EMPTY_CONTENT", "Nothing that can be read was found in the document")
    return made


def items(text: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list one by one. Raises Refused where it is no such list."""
    if not text.strip():
        return
    if not text.lstrip().startswith("["):
        raise _broken()
    at = text.index("[") + 1
    for _ in range(MOST_ITEMS):
        at = _end(_BLANK.match(text, at))
        if text.startswith("]", at):
            return
        item, at = _decoded(text, at)
        if isinstance(item, dict):
            yield item
    raise Refused("MINERU_ZIP_REFUSED", f"The document has more than {MOST_ITEMS} items")


def part_of(item: dict[str, Any]) -> Iterator[Part]:
    """Yield what one item comes to."""
    kind, page = str(item.get("type", "text")), _page(item.get("page_idx"))
    if kind in _FURNITURE:
        return
    if kind == "table":
        yield from _table(item, page)
        return
    text = _text(item)
    if not text:
        return
    level = item.get("text_level")
    if isinstance(level, int) and not isinstance(level, bool) and level > 0:
        yield making.heading(text, level=level, page=page)
    elif kind == "code":
        yield making.code(text, page=page)
    else:
        yield making.paragraph(text, page=page)


def _table(item: dict[str, Any], page: int | None) -> Iterator[Part]:
    """Its caption, its rows, its notes; what is no table after all is told as text."""
    caption = _strings(item.get("table_caption"))
    if caption:
        yield making.paragraph(caption, page=page)
    body = item.get("table_body")
    rows = _rows(body) if isinstance(body, str) and len(body) <= _LONGEST_TABLE else []
    table = making.table(rows, page=page) if rows else None
    if table is not None:
        yield table
    elif text := _strings(body) or _text(item):
        yield making.paragraph(text, page=page)
    if notes := _strings(item.get("table_footnote")):
        yield making.paragraph(notes, page=page)


def _text(item: dict[str, Any]) -> str:
    """The texts of an item in the order that is usual; of one of an unknown kind, all strings that it holds."""
    told = [_strings(item[name]) for name in _TEXTS if name in item]
    if text := "\n".join(each for each in told if each):
        return text
    return "\n".join(_all_strings({name: value for name, value in item.items() if name not in _NO_TEXT}))


def _strings(value: Any) -> str:
    return "\n".join(_all_strings(value))


def _all_strings(value: Any, depth: int = 0) -> Iterator[str]:
    match value:
        case str() if value.strip():
            yield value.strip()
        case list() if depth < _DEEPEST:
            for each in value:
                yield from _all_strings(each, depth + 1)
        case dict() if depth < _DEEPEST:
            for name, each in value.items():
                if name not in _NO_TEXT:
                    yield from _all_strings(each, depth + 1)


def _page(value: Any) -> int | None:
    """Pages are counted from 0 there, from 1 here."""
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 - 1 else None


def _decoded(text: str, at: int) -> tuple[Any, int]:
    """Return the item at a place and where it ends."""
    decoder = json.JSONDecoder()
    for size in _TRIES:
        try:
            item, length = decoder.raw_decode(text[at : at + size])
        except (ValueError, RecursionError):
            if at + size >= len(text):
                break
            continue
        return item, at + length
    raise _broken()


def _end(match: re.Match[str] | None) -> int:
    return match.end() if match else 0


def _bounded(parts: Iterable[Part]) -> Iterator[Part]:
    """Pass parts on as long as they make a document that can be taken; a longer one is refused, not cut."""
    length = 0
    for part in parts:
        length += len(part.text)
        if length > LONGEST_TEXT:
            raise Refused("MINERU_ZIP_REFUSED", f"The document has more than {LONGEST_TEXT:,} characters")
        yield part


def _from_markdown(text: str) -> Iterator[Part]:
    """Headings and paragraphs: the fallback where there is no list."""
    for block in re.split(r"\n\s*\n", text):
        heading = re.fullmatch(r"(#{1,6})\s+(.+)", block.strip())
        if heading:
            yield making.heading(heading[2], level=len(heading[1]))
        elif block.strip():
            yield making.paragraph(block)


def _broken() -> Refused:
    return Refused("MINERU_ZIP_REFUSED", "The result's list of contents can't be read")


class _Rows(HTMLParser):
    """The cells of a table, row by row. Plain Python: it can be fed anything."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[list[str]]] = []  # of rows, of cells, of pieces
        self._is_open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        self._is_open = tag in {"td", "th"} or (self._is_open and tag not in {"tr", "table"})
        if tag in {"td", "th"}:
            if not self.rows:
                self.rows.append([])
            self.rows[-1].append([])

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "tr", "table"}:
            self._is_open = False

    def handle_data(self, data: str) -> None:
        if self._is_open and self.rows and self.rows[-1]:
            self.rows[-1][-1].append(data)


def _rows(body: str) -> list[list[str]]:
    parser = _Rows()
    parser.feed(body)
    parser.close()
    return [["".join(cell) for cell in row] for row in parser.rows]
