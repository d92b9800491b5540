"""Unified diffs: reading them as a model writes them, and applying them exactly, without guessing.

Everything is bytes: a line's end is part of the line, so files keep theirs, whichever they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from runs.tools.registry import ToolError

Action = Literal["create", "change", "delete"]

MAX_HUNKS: Final = 2_000
_NOWHERE = "/dev/null"
_NO_NEWLINE = b"\\ "
_HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")

#: What stands around the diffs of files and says nothing that matters here.
_DECORATION = re.compile(rb"diff |index |Index: |={10}|new file mode |deleted file mode |```|\s*$")


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """One change: `old` gives way to `new`. Both hold the lines around the change; starts are line numbers from 1."""

    number: int
    old_start: int
    new_start: int
    old: bytes
    new: bytes

    def reverse(self) -> Hunk:
        """Return the change that undoes this one."""
        return replace(self, old_start=self.new_start, new_start=self.old_start, old=self.new, new=self.old)

    def with_ends(self, end: bytes) -> Hunk:
        """Return the change with `end` for each line feed."""
        return replace(self, old=self.old.replace(b"\n", end), new=self.new.replace(b"\n", end))


@dataclass(frozen=True, kw_only=True)
class FileDiff:
    """What a patch does to one file. `path` is as it was written, a/ and b/ taken off."""

    path: str
    action: Action
    hunks: tuple[Hunk, ...]

    def apply(self, content: bytes) -> bytes:
        """Return `content` changed. Raises ToolError unless every line around each change is there, byte for byte."""
        return _apply(content, self._fitting(content))

    def candidates(self, content: bytes) -> Iterator[bytes]:
        """Yield what `content` may have been before, if it was changed: its line ends then can't be told from those now."""
        for end in (b"\n", b"\r\n"):
            try:
                yield _apply(content, [hunk.with_ends(end).reverse() for hunk in self.hunks])
            except ToolError:
                continue

    def _fitting(self, content: bytes) -> list[Hunk]:
        """Return the hunks with the line ends of a file that ends each of its lines in CR LF, if the diff has none.

        A model sees such a file's lines and writes them with plain line feeds: that isn't a wish to change them all.
        """
        is_dos = 0 < content.count(b"\n") == content.count(b"\r\n")
        if is_dos and not any(b"\r" in hunk.old + hunk.new for hunk in self.hunks):
            return [hunk.with_ends(b"\r\n") for hunk in self.hunks]
        return list(self.hunks)


def parse(patch: str, *, path: str | None = None) -> list[FileDiff]:
    """Return what `patch` does to each of its files; hunks without a header of their own are for `path`.

    Raises ToolError, with the number of the line, for whatever can't be understood to the letter.
    """
    diffs = list(_Reader(patch.encode("utf-8")).files(path))
    if not diffs:
        raise ToolError("The patch holds no change: write '--- a/path', '+++ b/path' and at least one '@@' hunk")
    if sum(len(diff.hunks) for diff in diffs) > MAX_HUNKS:
        raise ToolError(f"The patch has more than {MAX_HUNKS} hunks; divide it")
    return diffs


class _Reader:
    """Goes through a patch line by line."""

    def __init__(self, patch: bytes) -> None:
        self._lines = patch.removesuffix(b"\n").split(b"\n")
        self._at = 0

    def files(self, default: str | None) -> Iterator[FileDiff]:
        announced = 0  # the line of a "diff --git" whose changes haven't come yet
        while (line := self._peek()) is not None:
            if line.startswith(b"--- ") or (default and not announced and line.startswith(b"@@")):
                announced = 0
                yield self._file(default)
                continue
            if announced and line.startswith(b"diff "):
                break
            if not _DECORATION.match(line):
                raise self._complaint("expected '--- a/path' here. Renames, modes and binary changes are not supported")
            self._at += 1
            announced = self._at if line.startswith(b"diff ") else announced
        if announced:
            raise ToolError(
                f"Invalid patch, line {announced}: nothing follows that could be done. Only texts are changed"
            )

    def _file(self, default: str | None) -> FileDiff:
        path, action = self._header() if self._starts(b"--- ") else _unnamed(default)
        hunks: list[Hunk] = []
        while self._starts(b"@@"):
            hunks.append(self._hunk(len(hunks) + 1))
        if not hunks:
            raise self._complaint(f"expected a hunk of {path} here, such as '@@ -1,3 +1,4 @@'")
        return FileDiff(path=path, action=action, hunks=tuple(hunks))

    def _header(self) -> tuple[str, Action]:
        old = self._name(b"--- ")
        if not self._starts(b"+++ "):
            raise self._complaint("expected '+++ b/path' here")
        new = self._name(b"+++ ")
        if old == new == _NOWHERE:
            raise self._complaint(f"one of the two names must not be {_NOWHERE}")
        if old == _NOWHERE:
            return new.removeprefix("b/"), "create"
        if new == _NOWHERE:
            return old.removeprefix("a/"), "delete"
        if old.startswith("a/") and new.startswith("b/"):
            old, new = old[2:], new[2:]
        if old != new:
            raise self._complaint(
                f"'{old}' can't be renamed to '{new}' by a patch: delete the one and create the other"
            )
        return new, "change"

    def _name(self, marker: bytes) -> str:
        line = self._next().removeprefix(marker).partition(b"\t")[0].rstrip(b"\r ")
        if line.startswith(b'"'):
            raise self._complaint("write the path plainly, without quotes and escapes", back=1)
        return line.decode("utf-8")

    def _hunk(self, number: int) -> Hunk:
        found = _HUNK.match(self._next())
        if not found:
            raise self._complaint("a hunk begins with '@@ -start,lines +start,lines @@'", back=1)
        old_start, old_count, new_start, new_count = (int(one) if one is not None else 1 for one in found.groups())
        old, new = self._body(number, old_count, new_count)
        return Hunk(number=number, old_start=old_start, new_start=new_start, old=b"".join(old), new=b"".join(new))

    def _body(self, number: int, old_count: int, new_count: int) -> tuple[list[bytes], list[bytes]]:
        """Read as many lines as the header says; a header that miscounts is an error, not a reason to guess."""
        old: list[bytes] = []
        new: list[bytes] = []
        says = f"hunk {number} says it has {old_count} old and {new_count} new lines"
        while len(old) < old_count or len(new) < new_count:
            sides = self._sides(self._peek(), old, new)
            if not sides:
                raise self._complaint(f"{says}, but only {len(old)} old and {len(new)} new ones stand here")
            line = self._next()[1:] + b"\n"
            for side in sides:
                side.append(line)
            if self._starts(_NO_NEWLINE):
                self._at += 1
                for side in sides:
                    side[-1] = side[-1].removesuffix(b"\n")
        if len(old) > old_count or len(new) > new_count or self._goes_on():
            raise self._complaint(f"{says}, but more stand here")
        return old, new

    def _sides(self, line: bytes | None, old: list[bytes], new: list[bytes]) -> tuple[list[bytes], ...]:
        """Return to which sides a line belongs. An empty line is an empty line of the file: editors strip the blank."""
        match line[:1] if line is not None else None:
            case b" " | b"" | b"\r":
                return (old, new)
            case b"-":
                return (old,)
            case b"+":
                return (new,)
        return ()

    def _goes_on(self) -> bool:
        line = self._peek() or b""
        return line[:1] in {b" ", b"+", b"-"} and not line.startswith(b"--- ") and bool(line.strip())

    def _starts(self, marker: bytes) -> bool:
        return (self._peek() or b"").startswith(marker)

    def _peek(self) -> bytes | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _next(self) -> bytes:
        self._at += 1
        return self._lines[self._at - 1]

    def _complaint(self, problem: str, *, back: int = 0) -> ToolError:
        return ToolError(f"Invalid patch, line {self._at + 1 - back}: {problem}")


def _unnamed(default: str | None) -> tuple[str, Action]:
    return default or "", "change"


def _apply(content: bytes, hunks: list[Hunk]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for hunk in hunks:
        at = _place(content, hunk, after=done)
        pieces += [content[done:at], hunk.new]
        done = at + len(hunk.old)
        if done < len(content) and hunk.new and not hunk.new.endswith(b"\n"):
            raise ToolError(f"Hunk {hunk.number} leaves a line without an end in the middle of the file")
    return b"".join([*pieces, content[done:]])


def _place(content: bytes, hunk: Hunk, *, after: int) -> int:
    """Return where the hunk's old lines are: at the line it names, else at the one place where they are found."""
    stated = _offset(content, hunk.old_start - 1 if hunk.old else hunk.old_start)
    if stated is not None and stated >= after and _stands_at(content, hunk.old, stated):
        return stated
    if not hunk.old:
        raise ToolError(
            f"Hunk {hunk.number} adds lines at line {hunk.old_start} with none around them; give some context"
        )
    first = _find(content, hunk.old, after)
    if first is None:
        raise ToolError(_difference(content, hunk, stated))
    if _find(content, hunk.old, first + 1) is not None:
        raise ToolError(
            f"Hunk {hunk.number} doesn't fit at line {hunk.old_start}, and its lines occur more than once: "
            "correct the line number, or give more context"
        )
    return first


def _stands_at(content: bytes, lines: bytes, at: int) -> bool:
    """Whether whole lines of the file, beginning at `at`, are `lines`."""
    if at and content[at - 1 : at] != b"\n":
        return False  # behind a last line that has no end
    end = at + len(lines)
    return content.startswith(lines, at) and (lines.endswith(b"\n") or not lines or end == len(content))


def _find(content: bytes, lines: bytes, after: int) -> int | None:
    """Return where `lines` stand first, not before `after`."""
    if after == 0 and _stands_at(content, lines, 0):
        return 0
    at = content.find(b"\n" + lines, max(after - 1, 0))
    if at < 0:
        return None
    if _stands_at(content, lines, at + 1):
        return at + 1
    # a last line without an end: whatever only begins like it is not it
    last = len(content) - len(lines)
    return last if last > at and _stands_at(content, lines, last) else None


def _offset(content: bytes, lines: int) -> int | None:
    """Return where the line behind the first `lines` lines begins, or None where the file has fewer."""
    at = 0
    for _ in range(max(lines, 0)):
        if at == len(content):
            return None
        end = content.find(b"\n", at)
        at = len(content) if end < 0 else end + 1
    return at


def _difference(content: bytes, hunk: Hunk, stated: int | None) -> str:
    """Say which line is the first that isn't there, so that it can be mended without reading everything again."""
    message = f"Hunk {hunk.number} doesn't fit: its lines are nowhere in the file as they stand in the patch"
    if stated is None:
        return f"{message}; the file has fewer than {hunk.old_start} lines"
    present = content[stated : stated + len(hunk.old) + 2_000].splitlines(keepends=True)
    for number, line in enumerate(hunk.old.splitlines(keepends=True)):
        found = present[number] if number < len(present) else b""
        if found == line:
            continue
        if found.rstrip(b"\r\n") == line.rstrip(b"\r\n") and found:
            ends = (
                "has no end: write '\\ No newline at end of file' below it"
                if not found.endswith(b"\n")
                else f"ends in {_shown(found[-2:])}"
            )
            return f"{message}. Line {hunk.old_start + number} of the file {ends}"
        return f"{message}. At line {hunk.old_start + number} the file has {_shown(found) if found else 'ended'}, the patch {_shown(line)}"
    return message


def _shown(line: bytes) -> str:
    return repr(line[:200].decode("utf-8", "replace"))
