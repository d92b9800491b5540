"""A document: its blocks, walked as the tree that they are, each part with the id of its block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from connectors.feishu import requests
from connectors.feishu.answers import TOO_OLD, BadAnswer, Busy, Refusal
from connectors.feishu.asking import Asker
from connectors.feishu.reading.said import Said, all_pages
from connectors.feishu.reading.words import link_of, words
from connectors.feishu.values import is_token, text_of, whole, yes
from connectors.models import Source
from memory.documents.parts import Part, code, heading, paragraph, table

MOST_BLOCKS: Final = 40_000
DEEPEST: Final = 60
#: What holds words of its own, and how they are set apart.
_SAID: Final = {
    "text": "", "quote": "> ", "callout": "", "equation": "", "task": "",
    "agenda_item_title": "", "okr_objective": "", "okr_key_result": "",
}  # fmt: skip
_ITEMS: Final = frozenset({"bullet", "ordered", "todo"})
#: What is shown in its place where a block has no words of its own.
_LABELS: Final = {
    "image": "图片", "file": "文件", "board": "白板", "diagram": "流程图", "mindnote": "思维笔记", "iframe": "内嵌网页",
    "sheet": "电子表格", "bitable": "多维表格", "isv": "小组件", "add_ons": "小组件", "chat_card": "群名片",
    "jira_issue": "Jira", "link_preview": "链接", "reference_base": "多维表格",
}  # fmt: skip


def read(asker: Asker, source: Source, config: Mapping[str, Any]) -> Said | None:
    """Return what a document says at the revision that it has now; None where that was read before."""
    told = asker.ask(requests.document(source.token)).get("document")
    if not isinstance(told, dict) or (number := whole(told.get("revision_id"))) is None:
        raise BadAnswer("there is no document with a revision in it")
    remarks = _comments(asker, source.token) if yes(config.get("include_comments")) else []
    revision = f"{number}:{_digest(remarks)}" if remarks else str(number)
    if revision == source.revision:
        return None
    said = Said(text_of(told, "title") or source.title, revision)
    said.add(heading(said.title, level=1) if said.title else None)
    for part in Walk(_blocks(asker, source.token, number)).parts():
        said.add(part)
    for part in remarks:
        said.add(part)
    return said


def _blocks(asker: Asker, token: str, revision: int) -> list[dict[str, Any]]:
    """Every block of one revision. Raises Busy where it has been left behind meanwhile: there is a newer one."""
    pages = all_pages(lambda page: asker.ask(requests.blocks(token, revision=revision, page_token=page)))
    try:
        blocks = list(islice(pages, MOST_BLOCKS + 1))
    except Refusal as refusal:
        if refusal.code == TOO_OLD:
            raise Busy("The document was changed while it was read") from refusal
        raise
    if len(blocks) > MOST_BLOCKS:
        raise Refusal("TOO_LARGE", f"It has more than {MOST_BLOCKS:,} blocks; split it")
    return blocks


@dataclass
class Walk:
    """The blocks of a document in the order in which they are read. What leads back to itself is walked once."""

    blocks: Sequence[dict[str, Any]]
    by_id: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for block in self.blocks:
            if is_token(block.get("block_id")):
                self.by_id[block["block_id"]] = block

    def parts(self) -> Iterator[Part]:
        """Yield the parts; those that no page leads to come last, so that nothing is lost."""
        last: Part | None = None
        for part in self._all():
            if last is not None:
                is_end = _is_item(last) and not _is_item(part)
                yield replace(last, text=last.text + "\n") if is_end else last
            last = part
        if last is not None:
            yield last

    def _all(self) -> Iterator[Part]:
        for block in self.blocks:
            yield from self._below(block, depth=0, indent=0, number=1)

    def _below(self, block: dict[str, Any], *, depth: int, indent: int, number: int) -> Iterator[Part]:
        block_id = block.get("block_id")
        if not is_token(block_id) or block_id in self.seen or depth > DEEPEST:
            return
        self.seen.add(block_id)
        kind = kind_of(block)
        is_table = kind == "table"
        part = self._table(block, depth=depth) if is_table else _own(block, kind, indent=indent, number=number)
        if part is not None and part.text.strip():
            yield replace(part, anchor=block_id)
        deeper = indent + 1 if kind in _ITEMS else indent
        count = 0
        for child in self._children(block):
            count = count + 1 if kind_of(child) == "ordered" else 0
            yield from self._below(child, depth=depth + 1, indent=deeper, number=max(count, 1))

    def _children(self, block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        children = block.get("children")
        for child in children if isinstance(children, list) else []:
            if isinstance(child, str) and child in self.by_id:
                yield self.by_id[child]

    def _table(self, block: Mapping[str, Any], *, depth: int) -> Part | None:
        """A table with the words of its cells; what is in a cell isn't walked again."""
        told = block["table"]
        cells = told.get("cells") if isinstance(told.get("cells"), list) else block.get("children")
        shape = told.get("property")
        columns = whole(shape.get("column_size")) if isinstance(shape, dict) else None
        if not isinstance(cells, list) or not columns or columns < 1:
            return None
        texts = [self._cell(cell, depth=depth + 1) for cell in cells if isinstance(cell, str)]
        return table(texts[at : at + columns] for at in range(0, len(texts), columns))

    def _cell(self, cell: str, *, depth: int) -> str:
        block = self.by_id.get(cell)
        if block is None:
            return ""
        return " ".join(part.text.strip() for part in self._below(block, depth=depth, indent=0, number=1))


def kind_of(block: Mapping[str, Any]) -> str:
    """The name under which a block holds what it is."""
    for name, value in block.items():
        if isinstance(value, dict) and name not in {"style", "merge_info"}:
            return name
    return ""


def _own(block: Mapping[str, Any], kind: str, *, indent: int, number: int) -> Part | None:
    """What a block says itself, its children aside."""
    told = block.get(kind)
    if not isinstance(told, dict) or kind == "page":
        return None
    said = words(told.get("elements"))
    if kind.startswith("heading"):
        return heading(said, level=whole(kind.removeprefix("heading")) or 1) if said.strip() else None
    if kind in _ITEMS:
        return Part("paragraph", _item(kind, told, said, indent=indent, number=number)) if said.strip() else None
    if kind == "code":
        return code(said) if said.strip() else None
    if kind in _LABELS:
        return paragraph(_label(kind, told))
    prefix = _SAID.get(kind, "")
    return paragraph(prefix + said.strip()) if said.strip() else None


def _item(kind: str, told: Mapping[str, Any], said: str, *, indent: int, number: int) -> str:
    sign = f"{number}." if kind == "ordered" else "-"
    if kind == "todo":
        style = told.get("style")
        sign = "- [x]" if isinstance(style, dict) and yes(style.get("done")) else "- [ ]"
    return f"{'  ' * min(indent, 12)}{sign} {' '.join(said.split())}\n"


def _is_item(part: Part) -> bool:
    return part.kind == "paragraph" and not part.text.endswith("\n\n")


def _label(kind: str, told: Mapping[str, Any]) -> str:
    """What stands in the place of what isn't text: what it is, and what it is called or where it is."""
    caption = told.get("caption")
    name = text_of(caption, "content") if isinstance(caption, dict) else ""
    name = name or text_of(told, "name") or link_of(told) or text_of(told, "token")
    return f"[{_LABELS[kind]}{': ' + name if name else ''}]"


def _comments(asker: Asker, token: str) -> list[Part]:
    """What people said about it, each remark with what it is about."""
    parts = [
        paragraph(text)
        for each in all_pages(lambda page: asker.ask(requests.comments(token, "docx", page)))
        if (text := _remark(each))
    ]
    return [heading("评论", level=2), *parts] if parts else []


def _remark(comment: Mapping[str, Any]) -> str:
    replies = comment.get("reply_list")
    replies = replies.get("replies") if isinstance(replies, dict) else None
    said = [_reply(each) for each in replies if isinstance(each, dict)] if isinstance(replies, list) else []
    quote = text_of(comment, "quote")
    return "\n".join([*([f"> {quote}"] if quote else []), *[each for each in said if each]])


def _reply(reply: Mapping[str, Any]) -> str:
    content = reply.get("content")
    return words(content.get("elements") if isinstance(content, dict) else None).strip()


def _digest(parts: Sequence[Part]) -> str:
    return sha256("".join(part.text for part in parts).encode("utf-8", "replace")).hexdigest()[:16]
