"""Copying people's files into a workspace, without what agents have no use for or no business with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from runs.tools.grep import is_binary
from runs.tools.paths import normalise
from runs.tools.registry import ToolError
from runs.tools.workspace import Usage, Workspace

MAX_BINARY: Final = 1024 * 1024

_FOLDERS: Final = {
    "version control": {".git", ".hg", ".svn", ".jj", "CVS"},
    "installed packages": {"node_modules", "bower_components", ".eggs", "site-packages"},
    "virtual environment": {".venv", "virtualenv"},
    "cache": {
        "__pycache__",
        ".cache",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".hypothesis",
        ".tox",
        ".nox",
        ".gradle",
        ".terraform",
        ".next",
    },
}
_REASONS: Final = {name: reason for reason, names in _FOLDERS.items() for name in names}

#: A folder that holds this file is of this kind, whatever its name.
_MARKERS: Final = {"pyvenv.cfg": "virtual environment", "CACHEDIR.TAG": "cache"}


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
    roots = [source.resolve(strict=True) for source in sources]
    own = [folder.resolve() for folder in except_in]
    copied, usage = Copied(), workspace.usage()
    for root in roots:
        for source, path, unwanted in _survey(root, root.name, own):
            if reason := unwanted or _copy(workspace, source, path, usage, copied):
                copied.skipped.append(Skipped(path, reason))
    return copied


def _survey(source: Path, path: str, own: Sequence[Path]) -> Iterator[tuple[Path, str, str]]:
    """Yield each file below `source` with its path in the workspace, and each thing to skip with the reason."""
    if reason := _reason_to_skip(source, path, own):
        yield source, path, reason
    elif source.is_dir():
        try:
            inner = sorted(source.iterdir())
        except OSError as error:
            yield source, path, error.strerror or "can't be read"
            return
        for one in inner:
            yield from _survey(one, f"{path}/{one.name}", own)
    else:
        yield source, path, ""


def _reason_to_skip(source: Path, path: str, own: Sequence[Path]) -> str:
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "a link"
    if any(source.is_relative_to(folder) for folder in own):
        return "this server's own data"
    if stat.S_ISDIR(status.st_mode):
        return _reason_to_skip_folder(source) or _illegal(path)
    if not stat.S_ISREG(status.st_mode):
        return "not a plain file"
    return _illegal(path)


def _reason_to_skip_folder(folder: Path) -> str:
    marked = (reason for marker, reason in _MARKERS.items() if (folder / marker).is_file())
    return _REASONS.get(folder.name) or next(marked, "")


def _illegal(path: str) -> str:
    try:
        path.encode("utf-8")
        normalise(path)
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except ToolError as error:
        return str(error)
    return ""


def _copy(workspace: Workspace, source: Path, path: str, usage: Usage, copied: Copied) -> str:
    """Copy one file, and return "" or why it can't be."""
    try:
        content = _read(source, most=workspace.limits.file_bytes)
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


def _read(source: Path, *, most: int) -> bytes:
    """Return a file's content, or one byte more than `most` of a larger one."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most + 1)
