"""Tools that read and change files."""

from __future__ import annotations

import json
from io import StringIO
from typing import Annotated, Any, Final

from pydantic import Field

from runs.tools.grep import is_binary
from runs.tools.paths import MAX_LENGTH, normalise, require_writable
from runs.tools.registry import ToolContext, ToolError, tool
from runs.tools.workspace import Workspace, digest

MAX_CONTENT: Final = 1_000_000  # characters of a file that an agent writes in one call
_READ_BYTES: Final = 28_000  # of a file's text as JSON: what is sure to reach the model unshortened
_PLACES: Final = 64  # of an edit's text, tried when finding out whether it was made

FilePath = Annotated[
    str, "Path of the file, relative to the workspace, such as docs/plan.md", Field(min_length=1, max_length=MAX_LENGTH)
]
LineNumber = Field(ge=1, le=100_000_000)


@tool(risk="low", recovery="pure", hazard="none")
def read_file(
    context: ToolContext,
    path: FilePath,
    start_line: Annotated[int, "First line to read, counted from 1", LineNumber] = 1,
    end_line: Annotated[int | None, "Last line to read; leave it out for as much as fits", LineNumber] = None,
) -> dict[str, Any]:
    """Read a text file, or some lines of it.

    Returns the text of lines start_line to end_line as they stand, and `total_lines` of the file. Where not all that was asked for
    fits, `truncated` is true and `end_line` the last line given: go on from the next one.
    """
    path = normalise(path)
    content = context.workspace.read(path)
    if is_binary(content):
        raise ToolError(f"{path} is not a text file ({len(content):,} bytes)")
    lines = _lines(content.decode("utf-8", "replace"))
    last = min(end_line or len(lines), len(lines))
    if start_line > max(len(lines), 1) or (end_line is not None and end_line < start_line):
        raise ToolError(f"No such lines: {path} has {len(lines)} lines")
    asked = lines[start_line - 1 : last]
    text, given = _fitting(asked)
    return {
        "path": path,
        "content": text,
        "start_line": start_line,
        "end_line": start_line - 1 + given,
        "total_lines": len(lines),
        "truncated": text != "".join(asked),
        "sha256": digest(content),
    }


def _written(context: ToolContext, *, path: str, content: str) -> dict[str, Any] | None:
    """Tell whether a write that was cut off is there: the file holds exactly what was to be written."""
    path, wanted = normalise(path), content.encode("utf-8")
    if current(context.workspace, path) != wanted:
        return None
    return _write_result(path, wanted, created=path not in context.seen)


@tool(risk="medium", mutating=True, recovery="checkable", check=_written, hazard="none", taints=False)
def write_file(
    context: ToolContext,
    path: FilePath,
    content: Annotated[str, "The whole text of the file", Field(max_length=MAX_CONTENT)],
) -> dict[str, Any]:
    """Write a text file: a new one, or in place of one that you have read. Folders are made as needed.

    An existing file must have been read in this run, and not have changed since. To change a part of a file, use edit_file.
    """
    path = normalise(path)
    require_writable(path)
    wanted = content.encode("utf-8")
    with context.workspace.locked():
        present = current(context.workspace, path)
        if present == wanted:
            return _write_result(path, wanted, created=False)
        if present is not None:
            require_seen(context, path, present)
        created = context.workspace.write(path, wanted)
    return _write_result(path, wanted, created=created)


def _edited(
    context: ToolContext, *, path: str, old_text: str, new_text: str, replace_all: bool
) -> dict[str, Any] | None:
    """Tell whether an edit that was cut off was made: taking it back gives the file this run had read.

    Where that can't be told, None is safe: the edit is tried again and refused, as the file is no longer the one that was read.
    """
    path = normalise(path)
    before, present = context.seen.get(path), current(context.workspace, path)
    if before is None or present is None or not new_text:
        return None
    old, new = old_text.encode("utf-8"), new_text.encode("utf-8")
    if replace_all and digest(present.replace(new, old)) == before:
        return _edit_result(path, present, replacements=present.count(new))
    at = present.find(new)
    for _ in range(_PLACES):
        if at < 0:
            break
        if digest(present[:at] + old + present[at + len(new) :]) == before:
            return _edit_result(path, present, replacements=1)
        at = present.find(new, at + 1)
    return None


@tool(risk="medium", mutating=True, recovery="checkable", check=_edited, hazard="none", taints=False)
def edit_file(
    context: ToolContext,
    path: FilePath,
    old_text: Annotated[
        str,
        "The text to replace, exactly as it stands in the file, line breaks and blanks too",
        Field(min_length=1, max_length=100_000),
    ],
    new_text: Annotated[str, "The text to put in its place", Field(max_length=100_000)],
    replace_all: Annotated[bool, "Replace every occurrence; otherwise there must be exactly one"] = False,
) -> dict[str, Any]:
    """Change a part of a text file by replacing one text with another.

    The file must have been read in this run, and not have changed since. Give enough of the surrounding text that old_text occurs
    only once, or set replace_all.
    """
    path = normalise(path)
    require_writable(path)
    if old_text == new_text:
        raise ToolError("old_text and new_text are the same: nothing to change")
    with context.workspace.locked():
        present = context.workspace.read(path)
        require_seen(context, path, present)
        count = _occurrences(present, old_text, path=path, replace_all=replace_all)
        changed = present.replace(old_text.encode("utf-8"), new_text.encode("utf-8"))
        context.workspace.write(path, changed)
    return _edit_result(path, changed, replacements=count)


def _occurrences(present: bytes, old_text: str, *, path: str, replace_all: bool) -> int:
    count = present.count(old_text.encode("utf-8"))
    if count == 0:
        hint = (
            " Its lines end in \\r\\n; write them so."
            if b"\r\n" in present and "\n" in old_text and "\r\n" not in old_text
            else ""
        )
        raise ToolError(
            f"old_text does not occur in {path}; it has to match exactly, blanks and line breaks too.{hint}"
        )
    if count > 1 and not replace_all:
        raise ToolError(f"old_text occurs {count} times in {path}; give more of the text around it, or set replace_all")
    return count


def current(workspace: Workspace, path: str) -> bytes | None:
    """Return the file's content, or None where there is no such file or folder."""
    return workspace.read(path) if workspace.exists(path) else None


def require_seen(context: ToolContext, path: str, present: bytes) -> None:
    """Raise ToolError unless `present` is what this run last read from the file, or wrote to it."""
    seen = context.seen.get(path)
    if seen is None:
        raise ToolError(f"{path} exists, and you have not read it in this run: read it before you change it")
    if seen != digest(present):
        raise ToolError(f"{path} has changed since you read it: read it again before you change it")


def _lines(text: str) -> list[str]:
    """Return the lines with their ends. Only a line feed ends one, so that numbers agree with what grep_files says."""
    return list(StringIO(text, newline="\n"))


def _fitting(lines: list[str]) -> tuple[str, int]:
    """Return as many of the first lines as reach the model unshortened, as one text, and their number.

    A first line that is too long by itself is cut.
    """
    taken: list[str] = []
    room = _READ_BYTES
    for line in lines:
        room -= _size(line)
        if room < 0:
            break
        taken.append(line)
    if not taken and lines:
        return _cut(lines[0]), 1
    return "".join(taken), len(taken)


def _cut(line: str) -> str:
    while _size(line) > _READ_BYTES:
        line = line[: min(_READ_BYTES, len(line) * 3 // 4)]
    return line


def _size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8"))


def _write_result(path: str, content: bytes, *, created: bool) -> dict[str, Any]:
    return {"path": path, "bytes": len(content), "created": created, "sha256": digest(content)}


def _edit_result(path: str, content: bytes, *, replacements: int) -> dict[str, Any]:
    return {"path": path, "replacements": replacements, "sha256": digest(content)}
