"""From the bytes of a page to what a reader sees: decoded, without markup, block by block."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser, LexborNode

from openintern.outgoing import Fetched
from openintern.text import shorten, storable
from runs.tools.nesting import flat

_HTML: Final = {"text/html", "application/xhtml+xml"}
_TEXT: Final = re.compile(r"text/.+|application/(.+\+)?(json|xml)|application/(x-)?(javascript|ndjson|yaml|toml)")
_DECLARED: Final = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9._:-]{2,40})""", re.IGNORECASE)
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: What browsers read under these names: the larger sets that hold them.
_MEANT: Final = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "ascii": "cp1252"}

_UNSEEN: Final = {"head", "script", "style", "noscript", "template", "svg", "iframe", "object", "select", "button"}
_BLOCKS: Final = {
    "address", "article", "aside", "blockquote", "br", "dd", "details", "div", "dl", "dt", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
    "section", "summary", "table", "tr", "ul",
}  # fmt: skip
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_LONGEST_TITLE: Final = 300
_MOST_LINKS: Final = 200


class NotText(Exception):
    """The answer is no text. The message is fit for whoever asked for it."""


@dataclass(frozen=True)
class Page:
    """A page as it is read: each block on a line of its own. `links` are whole http(s) addresses, each once."""

    title: str
    text: str
    links: tuple[str, ...] = ()


def read_page(fetched: Fetched) -> Page:
    """Return what the page says. Raises NotText for pictures, archives and the like."""
    kind = fetched.content_type
    if (kind and not _TEXT.fullmatch(kind)) or b"\x00" in _start_without_bom(fetched.content):
        raise NotText(f"The address leads to {kind or 'bytes'}, which is no text")
    text = storable(_decode(fetched))
    if kind in _HTML or (not kind and text.lstrip()[:1] == "<"):
        return _read_html(text, base=fetched.url)
    return Page(title="", text=text.strip())


def _start_without_bom(content: bytes) -> bytes:
    """The bytes that tell a text from something else; UTF-16 with its mark has zeros by right."""
    return b"" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else content[:2048]


def _decode(fetched: Fetched) -> str:
    """By its mark, by what the header says, by what the page says, as UTF-8; what doesn't fit is replaced."""
    for mark, encoding in _BOMS:
        if fetched.content.startswith(mark):
            return fetched.content.decode(encoding, "replace")
    said = re.search(r"charset\s*=\s*[\"']?([^\s;\"']{2,40})", fetched.headers.get("content-type", ""), re.IGNORECASE)
    declared = _DECLARED.search(fetched.content[:4096])
    for name in (said and said[1], declared and declared[1].decode("ascii")):
        if name and (encoding := _encoding(name)):
            return fetched.content.decode(encoding, "replace")
    return fetched.content.decode("utf-8", "replace")


def _encoding(name: str) -> str:
    """The codec for a name that a page gives; "" for one that isn't a text's."""
    try:
        b"x".decode(name, "replace")  # refuses what isn't a text's, as `zip`
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ""
    return "" if found.startswith(("utf-7", "utf-32", "idna", "punycode")) else _MEANT.get(found, found)


def _read_html(text: str, *, base: str) -> Page:
    tree = LexborHTMLParser(flat(text))
    title = tree.css_first("title")
    body = tree.css_first("main") or tree.css_first("article") or tree.body
    if body is None:
        return Page(title="", text="")
    lines = (" ".join(line.split()) for line in "".join(_pieces(body)).splitlines())
    return Page(
        title=shorten(" ".join(title.text().split()), _LONGEST_TITLE) if title else "",
        text="\n".join(line for line in lines if line),
        links=_links(body, base=base),
    )


def _pieces(root: LexborNode) -> Iterator[str]:
    """The visible text below `root`, with a line's end wherever a block begins or ends. Not recursive: pages nest deep."""
    above: list[LexborNode | None] = [root.child]
    while above:
        node = above[-1]
        if node is None:
            above.pop()
            if above and (closed := above[-1]) is not None:
                yield _after(closed)
                above[-1] = closed.next
            continue
        yield _before(node)
        above.append(None if node.tag in _UNSEEN else node.child)


def _before(node: LexborNode) -> str:
    if node.tag == "-text":
        return node.text(deep=True)
    if node.tag == "li":
        return "\n- "
    return "\n" + _HEADINGS.get(node.tag or "", "") if node.tag in _BLOCKS else ""


def _after(node: LexborNode) -> str:
    if node.tag in {"td", "th"}:
        return " | "
    return "\n" if node.tag in _BLOCKS else ""


def _links(body: LexborNode, *, base: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for anchor in body.css("a[href]"):
        try:
            address = urljoin(base, (anchor.attributes.get("href") or "").strip()).partition("#")[0]
            is_web = urlsplit(address).scheme in {"http", "https"}
        except ValueError:
            continue  # what a page holds for an address needn't be one
        if is_web and len(address) <= 1000:
            found[address] = None
        if len(found) == _MOST_LINKS:
            break
    return tuple(found)
