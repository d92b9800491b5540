"""The files of one organisation's project: the only part of the disk that agents can reach.

Every file is opened relative to the descriptor of the workspace's folder (`beneath`), so neither `..` nor a
link nor a race leads out. Nothing but plain files and folders exists in here for an agent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self

from django.conf import settings

from openintern import data_directory
from runs.tools.beneath import open_beneath
from runs.tools.paths import MAX_DEPTH, TEMPORARY, normalise
from runs.tools.registry import ToolError

if TYPE_CHECKING:
    from openintern.tenancy.scope import Scope

#: The folder of what belongs to an organisation and to none of its projects. No project may be called so.
SHARED: Final = "shared"

_ABANDONED = 3600.0  # seconds after which nobody is still writing beside a file
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
# a pipe must not keep its reader waiting for a writer
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY

_EXPLANATIONS: Final = {
    errno.ELOOP: "Path escapes working directory: {path} is, or leads through, a link",
    errno.EXDEV: "Path escapes working directory: {path}",
    errno.ENOENT: "No such file or folder: {path}",
    errno.ENOTDIR: "Not a folder: {path}",
    errno.EISDIR: "Is a folder, not a file: {path}",
    errno.EACCES: "The server may not open {path}",
    errno.EPERM: "The server may not open {path}",
    errno.ENXIO: "Not a plain file: {path}",
    errno.ENAMETOOLONG: "Path too long: {path}",
    errno.ENOSPC: "The disk is full; {path} was left as it was",
    errno.EDQUOT: "The disk quota is used up; {path} was left as it was",
    errno.EROFS: "The disk is read-only; {path} was left as it was",
    errno.EIO: "The disk failed on {path}",
}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a workspace may hold."""

    file_bytes: int = 16 * 1024 * 1024
    total_bytes: int = 512 * 1024 * 1024
    files: int = 20_000


class Entry(NamedTuple):
    """A file or folder, by its path in the workspace; a folder's size is 0."""

    path: str
    type: Literal["file", "directory"]
    size: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass
class Usage:
    """How many files a workspace holds, and how many bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, size: int, *, replaced: int | None) -> None:
        """Count a file of `size` bytes, written in place of one of `replaced` bytes or of none."""
        self.files += replaced is None
        self.bytes += size - (replaced or 0)

    def subtract(self, size: int) -> None:
        """Count a file of `size` bytes as gone."""
        self.files -= 1
        self.bytes -= size


class Workspace:
    """A folder that paths can't lead out of. Close it, or use it as a context manager.

    Paths are given and returned relative to it, in the spelling of `paths.normalise`. What a caller may be
    told raises ToolError.
    """

    def __init__(self, root: int, *, path: Path, limits: Limits | None = None) -> None:
        """Take over the descriptor `root` of the folder `path`."""
        self._root = root
        self.close = weakref.finalize(self, os.close, root)
        self.path = path
        self.limits = limits or Limits()

    @classmethod
    def for_scope(cls, scope: Scope) -> Workspace:
        """Open, and make if need be, the workspace of a scope's project, or of its organisation."""
        return open_workspace(org_slug=scope.org.slug, project_slug=scope.project.slug if scope.project else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def entries(self, path: str = ".") -> list[Entry]:
        """Return what is in a folder, by name. Links, devices and private names are left out."""
        path = normalise(path)
        with _explained(path):
            return self._scan(path)

    def walk(self, path: str = ".") -> Iterator[Entry]:
        """Yield every file below a folder (or the file itself), in the order of their paths."""
        path = normalise(path)
        with _explained(path):
            status = self._look_up(path)
        if status and (entry := _entry(path, status)) and entry.type == "file":
            yield entry
        else:
            yield from self._walk(self.entries(path), depth=0)

    def exists(self, path: str) -> bool:
        """Whether there is anything of that path. Raises ToolError where it leads out."""
        path = normalise(path)
        with _explained(path):
            return self._look_up(path) is not None

    def read(self, path: str) -> bytes:
        """Return the content of a plain file. Raises ToolError where there is none, or a larger one than allowed."""
        path = normalise(path)
        with _explained(path), self._opened(path, _READ) as descriptor:
            _require_plain(os.fstat(descriptor), path)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(self.limits.file_bytes + 1)
        if len(content) > self.limits.file_bytes:
            raise ToolError(f"{path} is too large: more than {self.limits.file_bytes:,} bytes")
        return content

    def write(self, path: str, content: bytes, *, usage: Usage | None = None, durable: bool = True) -> bool:
        """Put a file in place, whole or not at all, and return whether it is new. Folders are made as needed.

        Raises ToolError over the limits, on a full disk, and where a link or a folder is in the way.
        Whoever writes many files gives the `usage` before them, which is kept up to date.
        """
        path = normalise(path)
        if len(content) > self.limits.file_bytes:
            raise ToolError(f"Over quota: a file has at most {self.limits.file_bytes:,} bytes, not {len(content):,}")
        with _explained(path):
            present = self._look_up(path)
            replaced = _require_plain(present, path).st_size if present else None
            usage = usage or self.usage()
            self._require_room(usage, len(content), replaced=replaced)
            *folders, name = path.split("/")
            folder = _enter(self._root, folders)
            try:
                _write_whole(folder, name, content, durable=durable)
            finally:
                os.close(folder)
        usage.add(len(content), replaced=replaced)
        return replaced is None

    def delete(self, path: str, *, usage: Usage | None = None) -> None:
        """Remove a plain file. Raises ToolError where there is none. A `usage` that is given is kept up to date."""
        path = normalise(path)
        folder, _, name = path.rpartition("/")
        with _explained(path):
            with self._opened(path, _READ) as descriptor:
                size = _require_plain(os.fstat(descriptor), path).st_size
            with self._opened(folder or ".", _FOLDER) as descriptor:
                os.unlink(name, dir_fd=descriptor)
        if usage:
            usage.subtract(size)

    def usage(self) -> Usage:
        """Return how much the workspace holds."""
        usage = Usage()
        for entry in self.walk():
            usage.add(entry.size, replaced=None)
        return usage

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from writing for the block. Writers that look before they write do both in here."""
        own = os.open(".", _FOLDER, dir_fd=self._root)  # a lock belongs to an opening: threads need one each
        try:
            fcntl.flock(own, fcntl.LOCK_EX)
            yield
        finally:
            os.close(own)

    @contextmanager
    def lent(self) -> Iterator[int]:
        """Lend a descriptor of the folder itself, to what has walls of its own."""
        own = os.dup(self._root)
        try:
            yield own
        finally:
            os.close(own)

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        descriptor = open_beneath(self._root, path, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _scan(self, path: str) -> list[Entry]:
        with self._opened(path, _FOLDER) as folder, os.scandir(folder) as found:
            entries = [
                _entry(item.name if path == "." else f"{path}/{item.name}", _status(item))
                for item in found
                if _is_shown(item.name)
            ]
        known = [entry for entry in entries if entry is not None]
        return sorted(known, key=lambda entry: entry.path + "/" * (entry.type == "directory"))

    def _walk(self, entries: list[Entry], *, depth: int) -> Iterator[Entry]:
        for entry in entries:
            if entry.type == "file":
                yield entry
            elif depth < MAX_DEPTH:
                try:
                    below = self._scan(entry.path)
                except OSError:  # it went away, or became something else, since its parent was read
                    continue
                yield from self._walk(below, depth=depth + 1)

    def _look_up(self, path: str) -> os.stat_result | None:
        """Return what is known of a path, or None where there is nothing. Raises OSError."""
        try:
            with self._opened(path, _READ) as descriptor:
                return os.fstat(descriptor)
        except FileNotFoundError:
            return None

    def _require_room(self, usage: Usage, size: int, *, replaced: int | None) -> None:
        if replaced is None and usage.files >= self.limits.files:
            raise ToolError(f"Over quota: this workspace has {usage.files:,} files, the most it may have")
        if usage.bytes + size - (replaced or 0) > self.limits.total_bytes:
            raise ToolError(
                f"Over quota: this workspace may hold {self.limits.total_bytes:,} bytes and has {usage.bytes:,} already"
            )


def open_workspace(*, org_slug: str, project_slug: str | None = None, limits: Limits | None = None) -> Workspace:
    """Open the workspace of an organisation's project (or what its projects share), making it if need be.

    Raises ValueError for slugs that are not plain names.
    """
    for slug in (org_slug, project_slug or SHARED):
        if not _SLUG.fullmatch(slug):
            raise ValueError(f"not a slug: {slug!r}")
    if project_slug == SHARED:
        raise ValueError(f"a project can't be called {SHARED!r}: its files would be everybody's")
    base = Path(settings.CONFIG.agent.work_dir)
    data_directory.ensure(base.parent)
    base.mkdir(mode=0o700, exist_ok=True)
    root = os.open(base, _FOLDER)
    try:
        descriptor = _enter(root, (org_slug, project_slug or SHARED))
    finally:
        os.close(root)
    return Workspace(descriptor, path=base / org_slug / (project_slug or SHARED), limits=limits)


def digest(content: bytes) -> str:
    """Return the SHA-256 by which a run recognises what it last read."""
    return sha256(content).hexdigest()


def _enter(root: int, names: Sequence[str]) -> int:
    """Return a new descriptor for the folder below `root` that `names` lead to; what is missing is made."""
    folder = os.dup(root)
    for name in names:
        try:
            inner = _open_or_make(folder, name)
        finally:
            os.close(folder)
        folder = inner
    return folder


def _open_or_make(folder: int, name: str) -> int:
    try:
        return open_beneath(folder, name, _FOLDER)
    except FileNotFoundError:
        with suppress(FileExistsError):  # somebody else was quicker
            os.mkdir(name, 0o700, dir_fd=folder)
        return open_beneath(folder, name, _FOLDER)


def _write_whole(folder: int, name: str, content: bytes, *, durable: bool) -> None:
    """Write beside the file and put it in its place: readers see the old one or the new one, never a half."""
    _sweep(folder)
    beside = TEMPORARY + secrets.token_hex(8)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(beside, dir_fd=folder)
        raise


def _sweep(folder: int) -> None:
    """Remove what a writer that was killed left beside its file."""
    with os.scandir(folder) as found:
        beside = [item.name for item in found if item.name.startswith(TEMPORARY)]
    for name in beside:
        with suppress(FileNotFoundError):
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < time.time() - _ABANDONED:
                os.unlink(name, dir_fd=folder)


def _is_shown(name: str) -> bool:
    """Whether agents see this name: it is not private, and a path can hold it."""
    try:
        return normalise(name) == name
    except ToolError:
        return False


def _status(item: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return item.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _entry(path: str, status: os.stat_result | None) -> Entry | None:
    if status is None:
        return None
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, "directory", 0)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return Entry(path, "file", status.st_size)
    return None


def _require_plain(status: os.stat_result, path: str) -> os.stat_result:
    if stat.S_ISDIR(status.st_mode):
        raise ToolError(f"Is a folder, not a file: {path}")
    if not stat.S_ISREG(status.st_mode):
        raise ToolError(f"Not a plain file: {path}")
    if status.st_nlink > 1:
        raise ToolError(f"Path escapes working directory: {path} has another name elsewhere (a hard link)")
    return status


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _explain(error, path) from error


def _explain(error: OSError, path: str) -> Exception:
    """Return what the model should hear of a failure, or the failure itself where it is ours."""
    explanation = _EXPLANATIONS.get(error.errno or 0)
    return ToolError(explanation.format(path=path)) if explanation else error
