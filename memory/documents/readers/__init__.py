"""A reader for each kind of document: from its bytes to parts. They know nothing of Django, and fetch nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module

from memory.documents import kinds
from memory.documents.parts import Part, Tell

Reader = Callable[[bytes, Tell], Iterator[Part]]

_MODULES = {
    kinds.PDF: "pdf",
    kinds.DOCX: "docx",
    kinds.HTML: "html",
    kinds.MARKDOWN: "plain",
    kinds.TEXT: "plain",
}

#: What needs no library of somebody else's, and so no process of its own.
HARMLESS = frozenset({kinds.MARKDOWN, kinds.TEXT})


def reader_of(kind: str) -> Reader:
    """Return the reader of a kind. Its libraries are loaded now, not before."""
    read: Reader = import_module(f"memory.documents.readers.{_MODULES[kind]}").read
    return read
