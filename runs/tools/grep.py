"""Searching text line by line, in time that grows with the text and never with the cunning of the pattern."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import re2

from runs.tools.globs import re2_message
from runs.tools.registry import ToolError

SECONDS: Final = 10.0
_BLOCK: Final = 32 * 1024  # bytes searched before the clock is looked at again
_LONGEST: Final = 32 * 1024  # bytes of a line: what lies beyond isn't searched
_SHOWN: Final = 240  # bytes of a matching line, from a little before the match
_BEFORE: Final = 60
_LARGEST_PATTERN: Final = 3_000  # RE2 instructions; one search takes up to this many steps for each byte
_SNIFFED: Final = 8192

#: With these, a whole block can fail to match though one of its lines does.
_LINE_BOUND: Final = (r"\A", r"\z", r"\C", "(?")


@dataclass
class Search:
    """One search through many files: what it looks for, and what it has found so far."""

    pattern: str
    ignore_case: bool
    fixed: bool
    keep: int
    matches: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    files_with_matches: int = 0
    files_searched: int = 0
    is_overdue: bool = False

    def __post_init__(self) -> None:
        self._ends_at = time.monotonic() + SECONDS
        self._line = self._compile(self.pattern)
        self._block = None if any(bound in self.pattern for bound in _LINE_BOUND) else self._compile(self._for_blocks())

    def look_into(self, path: str, content: bytes) -> None:
        """Search one file, unless it isn't text or time is up."""
        if is_binary(content):
            return
        self.files_searched += 1
        before = self.total
        for number, block in _blocks(content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")):
            if self.check_time():
                break
            if self._may_match(block):
                self._look_at_lines(path, block, first=number)
        self.files_with_matches += self.total > before

    def check_time(self) -> bool:
        """Whether time is up; the result says so from then on."""
        self.is_overdue = self.is_overdue or time.monotonic() > self._ends_at
        return self.is_overdue

    def result(self) -> dict[str, Any]:
        """Return what was found, as the tool reports it."""
        return {
            "matches": self.matches,
            "total": self.total,
            "files_with_matches": self.files_with_matches,
            "files_searched": self.files_searched,
            "truncated": self.is_overdue or self.total > len(self.matches),
        }

    def _may_match(self, block: bytes) -> bool:
        return self._block is None or len(block) > _BLOCK + _LONGEST or self._block.search(block) is not None

    def _look_at_lines(self, path: str, block: bytes, *, first: int) -> None:
        for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), start=first):
            found = self._line.search(line[:_LONGEST])
            if found is None:
                continue
            self.total += 1
            if len(self.matches) < self.keep:
                self.matches.append({"path": path, "line": number, "text": _excerpt(line, found.start())})

    def _for_blocks(self) -> str:
        return self.pattern if self.fixed else f"(?m:{self.pattern})"

    def _compile(self, pattern: str) -> Any:
        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = not self.ignore_case
        options.literal = self.fixed
        try:
            compiled = re2.compile(pattern.encode("utf-8"), options)
        except re2.error as error:
            raise _invalid(re2_message(error)) from error
        if compiled._regexp.ProgramSize() > _LARGEST_PATTERN:  # noqa: SLF001  told nowhere else
            raise _invalid("its repetitions make it too large")
        return compiled


def is_binary(content: bytes) -> bool:
    """Whether this is something else than text, as git tells: it has a NUL near its beginning."""
    return b"\0" in content[:_SNIFFED]


def _invalid(reason: str) -> ToolError:
    return ToolError(
        f"Invalid pattern: {reason}. Patterns are RE2's: without look-around and back-references. "
        "Set fixed to true to search for the text as it stands."
    )


def _blocks(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the content in pieces of whole lines, each with the number of its first line."""
    start, number = 0, 1
    while start < len(content):
        end = content.find(b"\n", start + _BLOCK) + 1 or len(content)
        block = content[start:end]
        yield number, block
        number += block.count(b"\n")
        start = end


def _excerpt(line: bytes, at: int) -> str:
    if len(line) <= _SHOWN:
        return line.decode("utf-8", "replace").rstrip()
    begin = max(0, min(at - _BEFORE, len(line) - _SHOWN))
    shown = line[begin : begin + _SHOWN].decode("utf-8", "ignore").rstrip()
    return "…" * (begin > 0) + shown + "…" * (begin + _SHOWN < len(line))
