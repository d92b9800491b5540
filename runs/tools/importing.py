"""Copying people's files into a workspace, without what agents have no use for or no business with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from openintern.folders import read_plain_file, survey
from runs.tools.grep import is_binary
from runs.tools.paths import normalise
from runs.tools.registry import ToolError
from runs.tools.workspace import Usage, Workspace

MAX_BINARY: Final = 1024 * 1024


class Skipped(NamedTuple):
    """What was left out, by the path it would have had, and why."""

    path: str
    reason: str


@dataclass
class Copied:
    """What became of a copy."""

    files: int = 0
    bytes: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def copy_in(workspace: Workspace, sources: Iterable[Path], *, except_in: Sequence[Path] = ()) -> Copied:
    """Copy files and folders, each under its own name, over what is there of that name.

    Nothing that is under a folder of `except_in` is taken. What can't be taken is told in the result; the rest is copied all the same.
    Raises FileNotFoundError, before anything is copied, for a source that isn't there.
    """
    copied, usage = Copied(), workspace.usage()
    for source, path, unwanted in survey(sources, except_in=except_in, refuse=_illegal):
        if reason := unwanted or _copy(workspace, source, path, usage, copied):
            copied.skipped.append(Skipped(path, reason))
    return copied


def _illegal(path: str) -> str:
    try:
        normalise(path)
    except ToolError as error:
        return str(error)
    return ""


def _copy(workspace: Workspace, source: Path, path: str, usage: Usage, copied: Copied) -> str:
    """Copy one file, and return "" or why it can't be."""
    try:
        content = read_plain_file(source, most=workspace.limits.file_bytes)
        if len(content) > MAX_BINARY and is_binary(content):
            return f"not text, and larger than {MAX_BINARY:,} bytes"
        workspace.write(path, content, usage=usage, durable=False)
    except ToolError as error:
        return str(error)
    except OSError as error:
        return error.strerror or "can't be read"
    copied.files += 1
    copied.bytes += len(content)
    return ""
