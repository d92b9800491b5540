"""Looking through a person's folders for files to take, without what agents have no use for or no business with."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

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

#: They hold credentials, or another program's memory. For agents they don't exist.
_PRIVATE: Final = re.compile(
    r"\.(?:git|hg|svn|jj|ssh|gnupg|aws|azure|kube|docker|netrc|pgpass|npmrc|pypirc|git-credentials|htpasswd)"
    r"|\.env(?:rc|\.(?!(?:example|sample|template|dist)$).*)?"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)",
    re.IGNORECASE,
)


class Found(NamedTuple):
    """A file, or a folder that isn't looked into; `path` begins with its root's own name.

    `reason` says why it isn't to be taken; "" means that it is.
    """

    source: Path
    path: str
    reason: str


def survey(
    sources: Iterable[Path], *, except_in: Sequence[Path] = (), refuse: Callable[[str], str] = lambda path: ""
) -> Iterator[Found]:
    """Yield each file below the sources, in order, and each thing to leave out with the reason.

    Nothing under a folder of `except_in` is taken, nor what `refuse` gives a reason against. Raises FileNotFoundError,
    before anything is yielded, for a source that isn't there.
    """
    roots = [source.resolve(strict=True) for source in sources]
    look = _Look([folder.resolve() for folder in except_in], refuse)
    return (found for root in roots for found in look.below(root, root.name))


def is_private(name: str) -> bool:
    """Whether a file or folder of this name is never shown to agents."""
    return _PRIVATE.fullmatch(name) is not None


def read_plain_file(source: Path, *, most: int) -> bytes:
    """Return a file's content, or one byte more than `most` of a larger one. No link is followed, no pipe waited for."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most + 1)


class _Look(NamedTuple):
    except_in: Sequence[Path]
    refuse: Callable[[str], str]

    def below(self, source: Path, path: str) -> Iterator[Found]:
        reason = self._reason_to_skip(source, path)
        if reason or not source.is_dir():
            yield Found(source, path, reason)
            return
        try:
            inner = sorted(source.iterdir())
        except OSError as error:
            yield Found(source, path, error.strerror or "can't be read")
            return
        for one in inner:
            yield from self.below(one, f"{path}/{one.name}")

    def _reason_to_skip(self, source: Path, path: str) -> str:
        status = source.lstat()
        if stat.S_ISLNK(status.st_mode):
            return "a link"
        if any(source.is_relative_to(folder) for folder in self.except_in):
            return "this server's own data"
        if stat.S_ISDIR(status.st_mode):
            return _reason_to_skip_folder(source) or self._illegal(path)
        if not stat.S_ISREG(status.st_mode):
            return "not a plain file"
        return self._illegal(path)

    def _illegal(self, path: str) -> str:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            return "its name is not UTF-8"
        return self.refuse(path)


def _reason_to_skip_folder(folder: Path) -> str:
    marked = (reason for marker, reason in _MARKERS.items() if (folder / marker).is_file())
    return _REASONS.get(folder.name) or next(marked, "")
