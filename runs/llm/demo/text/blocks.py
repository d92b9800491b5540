"""Cut a reading into blocks, and a block into sentences, each kind of file by its own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runs.llm.demo.text.prose import prose_blocks
from runs.llm.demo.text.reading import (
    Block,
    Reading,
    Sentence,
    is_code,
    is_prose,
    numbered,
)
from runs.llm.demo.text.sentences import split_sentences
from runs.llm.demo.text.source import code_blocks, code_sentences

DATA_BLOCK_LINES = 15


_SECTION = re.compile(r"^\s*\[+([^\[\]]+)\]+\s*$")


def blocks_of(reading: Reading) -> list[Block]:
    if is_prose(reading.path):
        return list(prose_blocks(reading))
    if is_code(reading.path):
        return list(code_blocks(reading))
    return list(_data_blocks(reading))


def sentences_of(block: Block) -> list[Sentence]:
    match block.kind:
        case "heading":
            return []
        case "prose" | "item":
            return [Sentence(block, line, text, True) for line, text in split_sentences(block.lines, block.start)]
        case "code":
            return list(code_sentences(block))
        case _:
            spoken = block.kind == "row"
            return [Sentence(block, n, line.strip(), spoken) for n, line in numbered(block) if line.strip()]


def _data_blocks(reading: Reading) -> Iterator[Block]:
    section, start = "", reading.start
    run: list[str] = []
    for number, line in numbered(reading):
        heading = _SECTION.match(line)
        if run and (not line.strip() or heading or len(run) >= DATA_BLOCK_LINES):
            yield Block(reading.path, start, tuple(run), "data", section)
            run = []
        section = heading[1] if heading else section
        if line.strip():
            start = start if run else number
            run.append(line)
    if run:
        yield Block(reading.path, start, tuple(run), "data", section)
