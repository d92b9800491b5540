"""What there is, a page at a time: documents, sheets and tables, and lists that lead to more of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.feishu import requests
from connectors.feishu.answers import BadAnswer
from connectors.feishu.asking import Asker
from connectors.feishu.values import TOKEN, entries, is_token, text_of, yes
from connectors.models import Listing, Source

_KINDS: Final = {"docx": Source.Kind.DOCX, "sheet": Source.Kind.SHEET}
_PROBED: Final = ("docx", "sheet", "bitable")


@dataclass(frozen=True)
class Found:
    """A source as a list shows it. `marker` changes whenever it does; "" where the list doesn't tell."""

    kind: str
    token: str
    table: str = ""
    title: str = ""
    url: str = ""
    marker: str = ""

    @property
    def key(self) -> str:
        """Under which its memory is replaced."""
        return ":".join(part for part in (self.kind, self.token, self.table) if part)


@dataclass(frozen=True)
class Deeper:
    """A list to go through, too."""

    kind: str
    token: str
    space: str = ""
    title: str = ""
    url: str = ""


@dataclass
class Page:
    """One page of a list. `odd` is how many of its entries name nothing that can be asked for."""

    found: list[Found] = field(default_factory=list)
    deeper: list[Deeper] = field(default_factory=list)
    next_token: str = ""
    odd: int = 0

    def add(self, kind: str, token: Any, *, title: str = "", url: str = "", marker: str = "") -> None:
        """Take what a token stands for; what is neither read nor looked into (mind maps, slides, files) is left."""
        if kind not in {*_KINDS, "bitable", "folder"}:
            return
        if not is_token(token):
            self.odd += 1
        elif kind in _KINDS:
            self.found.append(Found(_KINDS[kind], token, title=title, url=url, marker=marker))
        else:
            self.deeper.append(Deeper(kind, token, title=title, url=url))


def page_of(asker: Asker, listing: Listing) -> Page:
    """Ask for the page that the list is at. Raises Busy, Denied, Refusal."""
    match listing.kind:
        case Listing.Kind.FOLDER:
            return _folder(asker.ask(requests.files(listing.token, listing.page_token)))
        case Listing.Kind.SPACE:
            return _nodes(asker.ask(requests.nodes(listing.token, "", listing.page_token)))
        case Listing.Kind.BELOW:
            return _nodes(asker.ask(requests.nodes(listing.space, listing.token, listing.page_token)))
        case Listing.Kind.NODE:
            page = Page()
            _add_node(page, asker.ask(requests.node(listing.token)).get("node"))
            return page
        case Listing.Kind.FILE:
            return _file(asker, listing.token)
        case Listing.Kind.BITABLE:
            return _tables(asker, listing)
    raise ValueError(listing.kind)


def _folder(data: Mapping[str, Any]) -> Page:
    page = Page(next_token=_next(data))
    for each in entries(data, "files"):
        told = {"title": text_of(each, "name"), "url": text_of(each, "url")}
        kind, token = text_of(each, "type"), each.get("token")
        if kind == "shortcut":
            target = each.get("shortcut_info")
            target = target if isinstance(target, dict) else {}
            page.add(text_of(target, "target_type"), target.get("target_token"), **told)
        else:
            page.add(kind, token, marker=_time(each.get("modified_time")), **told)
    return page


def _nodes(data: Mapping[str, Any]) -> Page:
    page = Page(next_token=_next(data))
    for each in entries(data, "items"):
        _add_node(page, each)
    return page


def _add_node(page: Page, node: Any) -> None:
    """A page of a wiki stands for a document, and may have others below it; one that is a shortcut has another's."""
    if not isinstance(node, dict):
        raise BadAnswer("there is no wiki page in it")
    title = text_of(node, "title")
    page.add(text_of(node, "obj_type"), node.get("obj_token"), title=title, marker=_time(node.get("obj_edit_time")))
    token, space = node.get("node_token"), str(node.get("space_id", ""))
    if yes(node.get("has_child")) and is_token(token) and TOKEN.fullmatch(space):
        page.deeper.append(Deeper(Listing.Kind.BELOW, token, space=space, title=title))


def _file(asker: Asker, token: str) -> Page:
    """What a token alone stands for. Where that isn't told it is taken for a document, and reading will say."""
    page = Page()
    metas = entries(asker.ask(requests.metas(token, _PROBED)), "metas")
    known = next((each for each in metas if each.get("doc_type") in _PROBED), None)
    if known is None:
        page.add("docx", token)
    else:
        told = {"title": text_of(known, "title"), "url": text_of(known, "url")}
        page.add(text_of(known, "doc_type"), token, marker=_time(known.get("latest_modify_time")), **told)
    return page


def _tables(asker: Asker, listing: Listing) -> Page:
    app = asker.ask(requests.app(listing.token)).get("app")
    if not isinstance(app, dict):
        raise BadAnswer("there is no table app in it")
    data = asker.ask(requests.tables(listing.token, listing.page_token))
    page = Page(next_token=_next(data))
    name = text_of(app, "name") or listing.title
    for each in entries(data, "items"):
        table = each.get("table_id")
        if not is_token(table):
            page.odd += 1
            continue
        title = " – ".join(part for part in (name, text_of(each, "name")) if part)
        marker = f"r:{app.get('revision')}:{each.get('revision')}"[:100]
        page.found.append(Found(Source.Kind.BITABLE, listing.token, table, title, listing.url, marker))
    return page


def _next(data: Mapping[str, Any]) -> str:
    """The token of the next page; lists name it in one of two ways."""
    if not yes(data.get("has_more")):
        return ""
    token = data.get("page_token") or data.get("next_page_token")
    if not isinstance(token, str) or not token or len(token) > 1000:
        raise BadAnswer("it has more, and doesn't say where")
    return token


def _time(value: Any) -> str:
    """A moment, in seconds, as a marker."""
    text = str(value) if isinstance(value, int | str) else ""
    return f"t:{text}" if text.isascii() and text.isdigit() and len(text) <= 12 and int(text) else ""
