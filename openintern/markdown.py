"""Markdown written by models and by strangers, made into HTML that can do nothing.

Two layers, each enough by itself: the parser knows no HTML and drops what isn't a plain web address, and a
sanitiser with an allow-list goes over what the parser made. Nothing is ever loaded from elsewhere: an image
becomes a link that names its host.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

#: Longer texts are shown as they were written: parsing is slower than linear in what an attacker may choose.
LONGEST_PARSED = 60_000
LONGEST_SHOWN = 400_000
LONGEST_HIGHLIGHTED = 20_000
#: How often a text may hold what is dear to parse: a table's pipes, a link's brackets.
DEAR = {"|": 4_000, "[": 2_000}

_SCHEMES = {"http", "https", "mailto"}
_TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p",
    "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_ATTRIBUTES = {
    "a": {"href", "title"},
    "ol": {"start"},
    "code": {"class"},
    "span": {"class"},
    "pre": {"tabindex"},
    "div": {"class", "tabindex"},
}
_CLASSES = {"host", "table-scroll"}

_code_formatter = HtmlFormatter[str](nowrap=True, classprefix="tok-")


@lru_cache(maxsize=256)
def render(text: str) -> SafeString:
    """Return `text` as sanitised HTML. What is too dear for that comes back as it was written, escaped.

    The latest results are kept: an answer doesn't change, and a conversation is read more than once.
    """
    if len(text) > LONGEST_PARSED or any(text.count(mark) > most for mark, most in DEAR.items()):
        return _as_written(text)
    return mark_safe(_sanitise(_parser.render(text)))  # noqa: S308  sanitised one call earlier


def highlight_code(code: str, language: str) -> str:
    """Return `code` as HTML with a class for each kind of token; only escaped where the language is unknown."""
    if not language or len(code) > LONGEST_HIGHLIGHTED:
        return escape(code)
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    return str(highlight(code, lexer, _code_formatter))


def _as_written(text: str) -> SafeString:
    return format_html('<pre tabindex="0">{}</pre>', text[:LONGEST_SHOWN])


def _sanitise(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_keep_attribute,
        url_schemes=_SCHEMES,
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )


def _keep_attribute(tag: str, name: str, value: str) -> str | None:
    if name == "class":
        return " ".join(word for word in value.split() if word in _CLASSES or word.startswith("tok-")) or None
    if name == "tabindex":
        return "0"
    return value


def _host(url: str) -> str:
    """Return the host an address leads to, "" for one that leads nowhere on the web."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_harmless(url: str) -> bool:
    """Whether an address runs nothing. A relative one passes here and loses its address in the sanitiser:
    its words stay, and nothing leads from an answer into these pages.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return False
    return parts.scheme.lower() in _SCHEMES if parts.scheme else not parts.netloc


class _Renderer(RendererHTML):
    """How the parts that could do harm, or need room, are written."""

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """An image is not fetched; it becomes a link that says where it would have come from."""
        source = str(tokens[idx].attrs.get("src", ""))
        return f'<a href="{escape(source)}">{escape(tokens[idx].content or "image")}</a>{_host_note(source)}'

    def link_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """Behind a link whose words don't name its host stands the host."""
        source, words = _link_before(tokens, idx)
        note = "" if _host(source) in words else _host_note(source)
        return f"</a>{note}"

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<div class="table-scroll" tabindex="0"><table>'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "</table></div>"

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        language = (tokens[idx].info.split() or [""])[0]
        return f'<pre tabindex="0"><code>{highlight_code(tokens[idx].content, language)}</code></pre>'


def _host_note(url: str) -> str:
    host = _host(url)
    return f'<span class="host"> ({escape(host)})</span>' if host else ""


def _link_before(tokens: Sequence[Token], close: int) -> tuple[str, str]:
    """Return address and words of the link that ends at `close`."""
    words: list[str] = []
    for position in range(close - 1, -1, -1):
        if tokens[position].type == "link_open":
            return str(tokens[position].attrs.get("href", "")), "".join(reversed(words))
        words.append(tokens[position].content)
    return "", ""


class _Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802  the parser's own name
        return _is_harmless(url)


_parser = _Parser("commonmark", {"html": False, "typographer": False}, renderer_cls=_Renderer).enable(
    ["table", "strikethrough"]
)
