"""PDF: the text layer page by page, with the sections that the document's own outline names.

Pictures of text are not read: a page without a text layer is counted and told, a document without any is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import pypdfium2
from pypdfium2 import PdfDocument, PdfiumError

from memory.documents.parts import Part, Tell, Unreadable, heading, paragraph

MOST_PAGES: Final = 5_000
_MOST_SECTIONS: Final = 20_000
_WRONG_PASSWORD: Final = pypdfium2.raw.FPDF_ERR_PASSWORD
#: What PDFium gives for a hyphen; at the end of a line it only says that the word goes on.
_HYPHEN: Final = re.compile("[\x02\ufffe]")
_ITEM: Final = re.compile(r"(?:[-–•●▪◦‣*·]|\(?\d{1,3}[.)、]|[（(][一二三四五六七八九十\d]{1,3}[)）])\s*\S")
#: A line that is so much shorter than a full one ends its paragraph.
_FULL: Final = 0.8

Sections = dict[int, dict[str, int]]  # by page: the headings on it with their levels


def read(content: bytes, tell: Tell) -> Iterator[Part]:
    """Yield paragraphs and headings with their pages."""
    with _opened(content) as pdf:
        if len(pdf) > MOST_PAGES:
            raise Unreadable("too_many_pages")
        tell(pages=len(pdf), title=pdf.get_metadata_dict().get("Title", ""))
        sections, textless = _sections(pdf), 0
        for index in range(len(pdf)):
            text = _text_of(pdf, index)
            textless += not text.strip()
            yield from _parts(text, page=index + 1, sections=sections.get(index, {}))
            tell(page=index + 1, textless_pages=textless)


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a page: lines that were broken for its width are one again, words that were too."""
    lines = [line.strip() for line in text.splitlines()]
    full = _FULL * _full_width(lines)
    current = ""
    for line in lines:
        if current and (not line or _ITEM.match(line)):
            yield _mended(current)
            current = ""
        current = _joined(current, line) if current else line
        if current and _width(line) < full and not _HYPHEN.match(current[-1]):
            yield _mended(current)
            current = ""
    if current:
        yield _mended(current)


def _opened(content: bytes) -> PdfDocument:
    try:
        return PdfDocument(content)
    except PdfiumError as error:
        encrypted = getattr(error, "err_code", None) == _WRONG_PASSWORD
        raise Unreadable("encrypted" if encrypted else "broken") from error


def _text_of(pdf: PdfDocument, index: int) -> str:
    """Return a page's text; one that can't be loaded has none, which is counted."""
    try:
        page = pdf[index]
    except PdfiumError:
        return ""
    try:
        textpage = page.get_textpage()
        try:
            return str(textpage.get_text_bounded())
        finally:
            textpage.close()
    finally:
        page.close()


def _sections(pdf: PdfDocument) -> Sections:
    """Return what the outline names: only where such a line stands on the page does a section begin."""
    sections: Sections = defaultdict(dict)
    for number, mark in enumerate(pdf.get_toc(max_depth=6)):
        if number >= _MOST_SECTIONS:
            break
        target = mark.get_dest()
        index = target.get_index() if target else None
        if index is not None and (title := _plain(mark.get_title())):
            sections[index].setdefault(title, mark.level + 1)
    return sections


def _parts(text: str, *, page: int, sections: dict[str, int]) -> Iterator[Part]:
    """Yield a page's parts: the lines between two headings make paragraphs."""
    lines: list[str] = []
    for line in text.splitlines():
        if level := sections.get(_plain(line)):
            yield from (paragraph(each, page=page) for each in paragraphs("\n".join(lines)))
            lines = []
            yield heading(_mended(line), level=level, page=page)
        else:
            lines.append(line)
    yield from (paragraph(each, page=page) for each in paragraphs("\n".join(lines)))


def _joined(before: str, line: str) -> str:
    """Put two lines together: Chinese without a blank, a divided word without its hyphen."""
    if _HYPHEN.match(before[-1]):
        return before[:-1] + line
    if _is_wide(before[-1]) and line and _is_wide(line[0]):
        return before + line
    return f"{before} {line}"


def _mended(text: str) -> str:
    return _HYPHEN.sub("-", text)


def _full_width(lines: list[str]) -> float:
    widths = sorted(_width(line) for line in lines if line)
    return widths[int(len(widths) * 0.8)] if len(widths) > 2 else 0


def _width(line: str) -> int:
    return sum(2 if _is_wide(character) else 1 for character in line)


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _plain(line: str) -> str:
    return "".join(_mended(line).split()).casefold()
