"""HTML: what a reader would see of it, in order. Nothing is loaded, run or followed."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from memory.documents.decoding import decoded
from memory.documents.parts import Part, Tell, code, heading, paragraph, table

#: What nobody reads: programs, styles, forms' insides, ways through the site.
_UNREAD: Final = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "applet",
        "canvas",
        "audio",
        "video",
        "nav",
        "select",
        "option",
        "textarea",
        "button",
        "dialog",
        "head",
        "title",
    ]
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
#: Where a paragraph ends.
_SEPARATE: Final = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "ol",
        "p",
        "section",
        "summary",
        "table",
        "td",
        "th",
        "tr",
        "ul",
    ]
)
_HIDDEN: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET: Final = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
_BLANKS: Final = re.compile(r"[ \t\n\r\f]+")


def read(content: bytes, tell: Tell) -> Iterator[Part]:
    """Yield headings, paragraphs, code and tables."""
    named = _CHARSET.search(content[:4096])
    text, encoding = decoded(content, declared=named[1].decode("ascii") if named else "")
    tree = LexborHTMLParser(text)
    title = tree.css_first("title")
    tell(encoding=encoding, title=_BLANKS.sub(" ", title.text()).strip() if title else "")
    if tree.body is not None:
        yield from _Walk().through(tree.body)


class _Walk:
    """A walk through the tree without recursion: a page may be nested deeper than any stack."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def through(self, root: LexborNode) -> Iterator[Part]:
        node: LexborNode | None = root
        while node is not None:
            taken = yield from self._enter(node)
            if not taken and node.child is not None:
                node = node.child
                continue
            while node is not None and node.next is None and node.mem_id != root.mem_id:
                yield from self._leave(node)
                node = node.parent
            if node is None or node.mem_id == root.mem_id:
                break
            yield from self._leave(node)
            node = node.next
        yield from self._end_paragraph()

    def _enter(self, node: LexborNode) -> Generator[Part, None, bool]:
        """Take what a node begins with; return whether it is done with, and all below it."""
        words = _inline(node)
        if words is not None:
            self._said.append(words)
            return True
        if _is_taken_whole(node):
            yield from self._end_paragraph()
            yield from _whole(node)
            return True
        if node.tag in _SEPARATE:
            yield from self._end_paragraph()
            if node.tag == "li":
                self._said.append("- ")
        return False

    def _leave(self, node: LexborNode) -> Iterator[Part]:
        if node.tag in _SEPARATE:
            yield from self._end_paragraph()

    def _end_paragraph(self) -> Iterator[Part]:
        """A line ends where the page says so (`br` alone is kept as "\\n"), not where its source does."""
        lines = [""]
        for words in self._said:
            if words == "\n":
                lines.append("")
            else:
                lines[-1] += words
        self._said = []
        text = "\n".join(_BLANKS.sub(" ", line).strip() for line in lines).strip()
        if text and text != "-":
            yield paragraph(text)


def _inline(node: LexborNode) -> str | None:
    """Return what stands within a paragraph; None for a node that has more to say than that."""
    if node.is_text_node:
        return _BLANKS.sub(" ", node.text_content or "")
    if not node.is_element_node or node.tag in _UNREAD or _is_hidden(node):
        return ""
    if node.tag == "br":
        return "\n"
    return _alternative(node) if node.tag == "img" else None


def _is_taken_whole(node: LexborNode) -> bool:
    return node.tag in _HEADINGS or node.tag == "pre" or (node.tag == "table" and _is_plain_table(node))


def _whole(node: LexborNode) -> Iterator[Part]:
    """Yield a heading, code, or a table with its caption."""
    if level := _HEADINGS.get(node.tag or ""):
        if text := _words(node):
            yield heading(text, level=level)
    elif node.tag == "pre":
        if (text := node.text(deep=True)).strip():
            yield code(text.strip("\n"))
    else:
        yield from _captions(node)
        if part := table(_rows(node)):
            yield part


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or bool(_HIDDEN.search(attributes.get("style") or ""))
    )


def _alternative(node: LexborNode) -> str:
    text = (node.attributes.get("alt") or "").strip()
    return f" [{text}] " if text else ""


def _is_plain_table(node: LexborNode) -> bool:
    """Whether it holds rows of text; tables within tables are there for the layout, and are walked through."""
    return len(node.css("table")) <= 1 and not node.css_first("pre, h1, h2, h3")


def _rows(node: LexborNode) -> Iterator[list[str]]:
    for row in node.css("tr"):
        yield [_words(cell) for cell in row.css("td, th")]


def _captions(node: LexborNode) -> Iterator[Part]:
    for caption in node.css("caption"):
        if text := _words(caption):
            yield paragraph(text)


def _words(node: LexborNode) -> str:
    """Return the text below a node that a reader would see, in one line."""
    said: list[str] = []
    at: LexborNode | None = node.child
    while at is not None:
        if at.is_text_node:
            said.append(at.text_content or "")
        elif at.tag == "img":
            said.append(_alternative(at))
        elif at.tag == "br" or at.tag in _SEPARATE:
            said.append(" ")
        skips = not at.is_element_node or at.tag in _UNREAD or _is_hidden(at)
        if not skips and at.child is not None:
            at = at.child
            continue
        while at is not None and at.next is None:
            at = at.parent
            if at is None or at.mem_id == node.mem_id:
                return _BLANKS.sub(" ", "".join(said)).strip()
        at = at.next if at is not None else None
    return _BLANKS.sub(" ", "".join(said)).strip()
