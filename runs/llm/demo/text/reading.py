"""What was read of a file, and the pieces it is cut into.

A block is a run of whole lines that a reader would call one thing: a paragraph, a list item, a table
row, a fenced example, a function. A sentence knows its block and its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

LONGEST_LINE = 2000
PROSE = {"", "md", "markdown", "mdx", "txt", "rst", "adoc", "text"}
FENCE_LANGUAGE = {
    "bash": "bash", "c": "c", "cc": "cpp", "cfg": "ini", "conf": "ini", "cpp": "cpp", "cs": "csharp",
    "css": "css", "csv": "", "env": "bash", "go": "go", "h": "c", "html": "html", "ini": "ini",
    "java": "java", "js": "javascript", "json": "json", "jsonl": "json", "jsx": "jsx", "kt": "kotlin",
    "log": "", "mjs": "javascript", "php": "php", "po": "", "proto": "protobuf", "py": "python",
    "pyi": "python", "rb": "ruby", "rs": "rust", "scss": "scss", "sh": "bash", "sql": "sql",
    "swift": "swift", "tf": "hcl", "toml": "toml", "ts": "typescript", "tsx": "tsx", "vue": "vue",
    "xml": "xml", "yaml": "yaml", "yml": "yaml",
}  # fmt: skip
DATA = {"cfg", "conf", "csv", "env", "ini", "json", "jsonl", "log", "po", "toml", "xml", "yaml", "yml"}


#: What the path of a memory begins with, before its id: no file's does that the tools name.
MEMORY = "memory "


@dataclass(frozen=True)
class Reading:
    """Lines of one file, or of a memory, from line `start` (1 is the first), of `total`."""

    path: str
    lines: tuple[str, ...]
    start: int
    total: int

    @property
    def end(self) -> int:
        return self.start + len(self.lines) - 1


@dataclass(frozen=True)
class Block:
    path: str
    start: int
    lines: tuple[str, ...]
    kind: str  # heading, prose, item, pairs, row, fence, code, data
    context: str = ""  # the headings or the definition it stands under
    said: tuple[str | None, ...] = ()  # of code: what each line says in words, None where it is no comment
    lead: tuple[str, ...] = ()  # a table's head, shown above a quoted row

    @property
    def end(self) -> int:
        return self.start + len(self.lines) - 1

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Sentence:
    block: Block
    line: int
    text: str
    spoken: bool  # prose, a comment or a docstring; not a line of code or data


def extension(path: str) -> str:
    return PurePosixPath(path).suffix.lower().lstrip(".")


def is_memory(path: str) -> bool:
    return path.startswith(MEMORY)


def is_prose(path: str) -> bool:
    return extension(path) in PROSE and not PurePosixPath(path).name.startswith((".", "Makefile", "Dockerfile"))


def is_code(path: str) -> bool:
    return extension(path) in FENCE_LANGUAGE.keys() - DATA


def is_test(path: str) -> bool:
    return bool(re.search(r"(?:^|/)tests?/|(?:^|/)test_|_test\.|\.(?:spec|test)\.", path))


def numbered(block: Block | Reading) -> Iterator[tuple[int, str]]:
    return enumerate(block.lines, start=block.start)
