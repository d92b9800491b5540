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
_LONG_STRING = re.compile(r"\s*[rRbBuUfF]{0,2}(?:\"\"\"|''')")
_TRIPLE = re.compile(r"\"\"\"|'''")


def code_blocks(reading: Reading) -> Iterator[Block]:
    """Each line belongs to the innermost definition around it; outside of any, to its paragraph."""
    owners = _owners(reading.lines)
    said = tuple(_said(reading.lines, whole=reading.start == 1))
    first = 0
    for index in range(1, len(reading.lines) + 1):
        ends = index == len(reading.lines) or owners[index] != owners[first]
        paragraph_ends = not ends and not owners[first] and not reading.lines[index].strip()
        if ends or paragraph_ends:
            yield from _code_block(reading, first, index, owners[first], said)
            first = index


def _code_block(reading: Reading, first: int, end: int, owner: str, said: tuple[str | None, ...]) -> Iterator[Block]:
    """The lines from `first` to `end` without the blank ones around them."""
    while first < end and not reading.lines[first].strip():
        first += 1
    while first < end and not reading.lines[end - 1].strip():
        end -= 1
    if first < end:
        lines, words = reading.lines[first:end], said[first:end]
        yield Block(reading.path, reading.start + first, lines, "code", owner, words)


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
    for (number, line), said in zip(numbered(block), block.said, strict=True):
        if said is None:
            yield from _spoken(block, start, spoken)
            spoken = []
            if line.strip():
                yield Sentence(block, number, line.strip(), False)
            continue
        if not spoken:
            start = number
        spoken.append(said)
    yield from _spoken(block, start, spoken)


def _said(lines: tuple[str, ...], *, whole: bool) -> Iterator[str | None]:
    """What each line says in words; None for a line of code, or of a long string that is no docstring."""
    docstring, before = False, ""
    string = not whole and _begins_inside(lines)
    for line in lines:
        toggles = len(_TRIPLE.findall(line)) % 2 == 1
        comment = _COMMENT.match(line)
        if docstring or (not string and _opens_docstring(line, before=before)):
            yield _TRIPLE.sub("", line)
            docstring = docstring != toggles
        elif string or toggles or not comment:
            yield None
            string = string != toggles
        else:
            yield comment[1].lstrip("-=#*~ ")
            continue
        before = line.rstrip() or before


def _opens_docstring(line: str, *, before: str) -> bool:
    """A docstring stands first in its file, or right under what it describes."""
    return bool(_LONG_STRING.match(line)) and (not before or before.endswith(":"))


def _begins_inside(lines: tuple[str, ...]) -> bool:
    """Whether lines from the middle of a file begin within a long string: its end comes first."""
    before = ""
    for line in lines:
        if _TRIPLE.search(line):
            return bool(_LONG_STRING.match(line)) and not before.endswith((":", "(", ","))
        before = line.rstrip() or before
    return False


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
