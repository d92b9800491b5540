"""Program text of any language that is indented by its structure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runs.llm.demo.text.reading import Block, Reading, Sentence, numbered
from runs.llm.demo.text.sentences import split_sentences

# Lines that open something with a name; RE2 reads it too, for the first search.
DEFINITION = (
    r"^\s*(?:export\s+|default\s+|public\s+|private\s+|protected\s+|static\s+|pub\s+|async\s+|abstract\s+)*"
    r"(?:def|class|function|func|fn|interface|struct|enum|trait|impl|type|module)\s+"
)
_DEFINED = re.compile(DEFINITION + r"(?:\([^)]*\)\s*)?([A-Za-z_]\w*)")
_COMMENT = re.compile(r"^\s*(?:#(?!!):?|//|--\s|/?\*+(?!\*))\s?(.*?)(?:\*/)?\s*$")
_FIELD = re.compile(r"^\s*(?::\w|@\w|(?:Args|Arguments|Parameters|Returns?|Raises|Yields|Examples?)\s*:?\s*$)")
_TRIPLE = re.compile(r"\"\"\"|'''")


def code_blocks(reading: Reading) -> Iterator[Block]:
    """Each line belongs to the innermost definition around it; outside of any, to its paragraph."""
    owners = _owners(reading.lines)
    run: list[str] = []
    start = reading.start
    for number, line in numbered(reading):
        index = number - reading.start
        fresh = run and owners[index] != owners[index - 1]
        loose_end = run and not owners[index] and not line.strip()
        if fresh or loose_end:
            yield from _code_block(reading.path, start, run, owners[index - 1])
            run = []
        if not run:
            start = number
        run.append(line)
    yield from _code_block(reading.path, start, run, owners[-1] if owners else "")


def _code_block(path: str, start: int, lines: list[str], owner: str) -> Iterator[Block]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    while lines and not lines[0].strip():
        lines, start = lines[1:], start + 1
    if lines:
        yield Block(path, start, tuple(lines), "code", owner)


def _owners(lines: tuple[str, ...]) -> list[str]:
    """For each line the definitions around it, outermost first, as "Class.method"; "" for none."""
    owners: list[str] = []
    stack: list[tuple[int, str]] = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        closes = line.strip()[:1] in ")]}"
        while line.strip() and not closes and stack and indent <= stack[-1][0]:
            stack.pop()
        if defined := _DEFINED.match(line):
            stack.append((indent, defined[1]))
        owners.append(".".join(name for _, name in stack))
    return _claim_preludes(lines, owners)


def _claim_preludes(lines: tuple[str, ...], owners: list[str]) -> list[str]:
    """Decorators and comments right above a definition belong to it."""
    for index in range(len(lines) - 2, -1, -1):
        above, below = lines[index].strip(), owners[index + 1]
        opens = _DEFINED.match(lines[index + 1]) or owners[index + 1] != owners[index]
        if opens and below and above.startswith(("@", "#", "//", "/*", "*")) and not _DEFINED.match(lines[index]):
            owners[index] = below
    return owners


def code_sentences(block: Block) -> Iterator[Sentence]:
    """Docstrings and comments by the sentence, all else by the line."""
    spoken: list[str] = []
    start = block.start
    inside = False
    for number, line in numbered(block):
        quotes = len(_TRIPLE.findall(line))
        comment = _COMMENT.match(line)
        if inside or (quotes and _opens_docstring(line)):
            text = _TRIPLE.sub("", line)
            inside = inside ^ (quotes % 2 == 1)
        elif comment:
            text = comment[1].lstrip("-=#*~ ")
        else:
            yield from _spoken(block, start, spoken)
            spoken = []
            if line.strip():
                yield Sentence(block, number, line.strip(), False)
            continue
        if not spoken:
            start = number
        spoken.append(text)
    yield from _spoken(block, start, spoken)


def _opens_docstring(line: str) -> bool:
    return bool(re.match(r"\s*[rRbBuUfF]{0,2}(?:\"\"\"|''')", line))


def _spoken(block: Block, start: int, lines: list[str]) -> Iterator[Sentence]:
    paragraph: list[str] = []
    for offset, line in enumerate([*lines, ""]):
        if paragraph and (not line.strip() or _FIELD.match(line)):
            for number, text in split_sentences(tuple(paragraph), start + offset - len(paragraph)):
                yield Sentence(block, number, text, True)
            paragraph = []
        if line.strip():
            paragraph.append(line)


def defined_name(block: Block) -> str:
    """The name that a block of code defines; "" when it isn't a definition."""
    if block.kind != "code" or not block.context:
        return ""
    name = block.context.split(".")[-1]
    return name if any((match := _DEFINED.match(line)) and match[1] == name for line in block.lines) else ""
