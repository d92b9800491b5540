"""Opening files below a directory so that no path, no link and no race leads out of it."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from functools import cache

_OPENAT2 = 437  # the same number on every architecture that Linux has today, except alpha
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS


class _How(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: str, flags: int) -> int:
    """Return a new descriptor for `path`, looked up from the directory `root` and never outside of it.

    Links are not followed, wherever in the path they are. Raises OSError; with ELOOP or EXDEV the path
    would have led out. Where the kernel has no openat2 (or a sandbox forbids it), the path is walked
    name by name, which gives the same promise.
    """
    flags |= os.O_CLOEXEC
    return _openat2(root, path, flags) if _kernel_resolves() else _open_by_steps(root, path, flags | os.O_NOFOLLOW)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _kernel_resolves() -> bool:
    """Whether this kernel has openat2 and lets us use it."""
    if not hasattr(_libc(), "syscall") or os.uname().sysname != "Linux":
        return False
    here = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(_openat2(here, ".", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


def _openat2(root: int, path: str, flags: int) -> int:
    how = _How(flags, 0, _RESOLVE)
    name = os.fsencode(path)
    while True:
        descriptor = int(_libc().syscall(_OPENAT2, root, name, ctypes.byref(how), ctypes.sizeof(how)))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number not in (errno.EINTR, errno.EAGAIN):
            raise OSError(number, os.strerror(number), path)


def _open_by_steps(root: int, path: str, flags: int) -> int:
    *folders, name = path.split("/")
    if path.startswith("/") or ".." in (*folders, name):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    directory = os.dup(root)
    try:
        for folder in folders:
            inner = _open_here(directory, folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            os.close(directory)
            directory = inner
        return _open_here(directory, name, flags)
    finally:
        os.close(directory)


def _open_here(directory: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=directory)
    except NotADirectoryError:
        # what a link answers when a directory is asked for; say what it is
        if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise
