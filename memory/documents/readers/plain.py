"""Markdown and plain text: the text as it is, so that offsets count in what was sent."""

from __future__ import annotations

from collections.abc import Iterator

from memory.chunking import blocks_of
from memory.documents.decoding import decoded
from memory.documents.parts import Part, Tell


def read(content: bytes, tell: Tell) -> Iterator[Part]:
    """Yield the blocks of a text; joined, they are the text."""
    text, encoding = decoded(content)
    blocks = blocks_of(text)
    first = next((block.title for block in blocks if block.kind == "heading" and block.title), "")
    tell(encoding=encoding, title=first)
    for block in blocks:
        yield Part(block.kind, text[block.start : block.end], block.level, block.title)
