"""DOCX: paragraphs, headings, lists and tables in order, with the pages that Word last saw.

A Word file is a ZIP of XML. What it says of its size is checked before anything is unpacked, and no part may bring
entities with it; the process around it bounds the rest.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final

from docx.oxml.ns import qn
from docx.package import Package
from lxml import etree

from memory.documents.parts import Part, Tell, Unreadable, heading, paragraph, table

MOST_ENTRIES: Final = 5_000
MOST_BYTES: Final = 256 * 1024 * 1024  # unpacked
MOST_XML_BYTES: Final = 64 * 1024 * 1024  # of one part: a tree takes ten times as much
MOST_RATIO: Final = 200  # of what is larger than a mebibyte; real XML stays below 60
_MEBIBYTE: Final = 1024 * 1024
_OLE: Final = b"\xd0\xcf\x11\xe0"  # the container of old Office files, and of encrypted new ones
_MAIN: Final = "word/document.xml"
_ENTITIES: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_LEVELS: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_NOTES: Final = ("footnotes", "endnotes")

_P, _TBL, _TR, _TC = (qn(f"w:{name}") for name in ("p", "tbl", "tr", "tc"))
_VAL: Final = qn("w:val")
_TEXTS: Final = {
    qn("w:t"): None,
    qn("w:tab"): "\t",
    qn("w:br"): "\n",
    qn("w:cr"): "\n",
    qn("w:noBreakHyphen"): "-",
    "{http://schemas.openxmlformats.org/officeDocument/2006/math}t": None,
}
_BOX: Final = qn("w:txbxContent")
_FALLBACK: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_RENDERED: Final = qn("w:lastRenderedPageBreak")


def read(content: bytes, tell: Tell) -> Iterator[Part]:
    """Yield what a Word document says; what was deleted in tracking mode is not part of it."""
    package = _opened(content)
    main = package.main_document_part
    tell(title=package.core_properties.title or "")
    walk = _Walk(levels=_levels(main), has_pages=main.element.find(f".//{_RENDERED}") is not None)
    yield from walk.through(main.element.body)
    for notes in _notes(main):
        yield from walk.through(notes)
    tell(pages=walk.page)


class _Walk:
    def __init__(self, *, levels: dict[str, int], has_pages: bool) -> None:
        self._levels = levels
        self.page: int | None = 1 if has_pages else None

    def through(self, parent: Any) -> Iterator[Part]:
        for element in parent:
            if element.tag == _P:
                yield from self._paragraph(element)
            elif element.tag == _TBL:
                if part := table(self._rows(element), page=self.page):
                    yield part
            elif element.tag is not etree.Comment and isinstance(element.tag, str) and len(element):
                yield from self.through(
                    element
                )  # content controls, tracked insertions, notes: paragraphs in a wrapping

    def _paragraph(self, element: Any) -> Iterator[Part]:
        page = self.page
        text = self._text(element).strip()
        level = self._level(element)
        if text and level:
            yield heading(text, level=level, page=page)
        elif text:
            is_item = element.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None
            yield paragraph(f"- {text}" if is_item else text, page=page)
        for box in element.iter(_BOX):
            if _owner(box, _P) is element and not _is_fallback(box):
                yield from self.through(box)

    def _text(self, element: Any) -> str:
        """Return a paragraph's own text, and turn the pages that break within it."""
        said: list[str] = []
        for each in _within(element):
            if each.tag == _RENDERED and self.page is not None:
                self.page += 1
            elif each.tag in _TEXTS:
                said.append(_TEXTS[each.tag] or each.text or "")
        return "".join(said)

    def _level(self, element: Any) -> int:
        properties = element.find(qn("w:pPr"))
        if properties is None:
            return 0
        outline = properties.find(qn("w:outlineLvl"))
        if outline is not None:
            return _outline_level(outline)
        style = properties.find(qn("w:pStyle"))
        return self._levels.get(style.get(_VAL, ""), 0) if style is not None else 0

    def _rows(self, element: Any) -> Iterator[list[str]]:
        for row in element.iter(_TR):
            if _owner(row, _TBL) is element:
                cells = (cell for cell in row.iter(_TC) if _owner(cell, _TR) is row)
                yield [" ".join(self._text(each) for each in cell.iter(_P)) for cell in cells]


def _opened(content: bytes) -> Any:
    if content.startswith(_OLE):
        raise Unreadable("encrypted")
    _require_sane(content)
    try:
        package = Package.open(io.BytesIO(content))
        if not hasattr(package.main_document_part.element, "body"):
            raise Unreadable("not_word")
    except (
        KeyError,
        ValueError,
        AttributeError,
        etree.XMLSyntaxError,
        zipfile.BadZipFile,
        NotImplementedError,
    ) as error:
        raise Unreadable("broken") from error
    except RuntimeError as error:  # zipfile's for an entry with a password
        raise Unreadable("encrypted") from error
    return package


def _require_sane(content: bytes) -> None:
    """Refuse what would unpack to more than a document, before any of it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise Unreadable("bomb")
            names = {entry.filename for entry in entries}
            if _MAIN not in names:
                raise Unreadable("not_word")
            for entry in entries:
                _require_sane_entry(archive, entry)
            if len(names) != len(entries):
                raise Unreadable("broken")
    except zipfile.BadZipFile as error:
        raise Unreadable("broken") from error
    except (RuntimeError, NotImplementedError) as error:
        raise Unreadable("encrypted") from error


def _require_sane_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 1:
        raise Unreadable("encrypted")
    if entry.file_size > max(_MEBIBYTE, entry.compress_size * MOST_RATIO):
        raise Unreadable("bomb")
    if entry.filename.endswith((".xml", ".rels")):
        if entry.file_size > MOST_XML_BYTES:
            raise Unreadable("bomb")
        if _ENTITIES.search(archive.read(entry)):
            raise Unreadable("broken")


def _levels(main: Any) -> dict[str, int]:
    """Return the level of each style that is a heading's, by its own name or by that of the one it is based on."""
    styles = {style.get(qn("w:styleId"), ""): style for style in main._styles_part.element.iter(qn("w:style"))}  # noqa: SLF001  there is no other way to the part
    return {name: level for name in styles if (level := _level_of(name, styles))}


def _level_of(name: str, styles: dict[str, Any]) -> int:
    seen: set[str] = set()
    while name in styles and name not in seen:
        seen.add(name)
        style = styles[name]
        outline = style.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
        if outline is not None:
            return _outline_level(outline)
        title = style.find(qn("w:name"))
        spelled = title.get(_VAL, "") if title is not None else ""
        if found := _LEVELS.fullmatch(spelled):
            return int(found[1])
        if spelled.lower() == "title":
            return 1
        base = style.find(qn("w:basedOn"))
        name = base.get(_VAL, "") if base is not None else ""
    return 0


def _outline_level(outline: Any) -> int:
    value = outline.get(_VAL, "9")
    return int(value) + 1 if value.isdecimal() and int(value) < 9 else 0


def _notes(main: Any) -> Iterator[Any]:
    """Yield the trees of foot- and endnotes: part of what a document says, behind it."""
    for relation in main.rels.values():
        if not relation.is_external and relation.reltype.rpartition("/")[2] in _NOTES:
            yield etree.fromstring(relation.target_part.blob, etree.XMLParser(resolve_entities=False, no_network=True))


def _within(element: Any) -> Iterator[Any]:
    """Yield what stands in a paragraph, but for boxes that float beside it."""
    skipped: list[Any] = []
    for each in element.iter():
        if each.tag in {_BOX, _FALLBACK}:
            skipped.append(each)
        elif not skipped or not any(above in skipped for above in each.iterancestors()):
            yield each


def _is_fallback(element: Any) -> bool:
    return any(above.tag == _FALLBACK for above in element.iterancestors())


def _owner(element: Any, tag: str) -> Any:
    return next(element.iterancestors(tag), None)
