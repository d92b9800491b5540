"""Running a command where it can reach nothing but one folder: bubblewrap, without network, within bounds.

The walls are namespaces and an unprivileged user; the bounds are resource limits set inside them. Neither is
built here: where bubblewrap is missing, or the kernel doesn't let it work, nothing runs.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Final

from runs.stop import Stop

INSIDE: Final = "/workspace"  # where the command finds the folder
_LOOK_INTERVAL: Final = 0.1  # seconds between looks at the clock and at whether to stop
_CHUNK: Final = 65_536
_SYSTEM: Final = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links into /usr, or folders
_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": INSIDE, "LANG": "C.UTF-8"}
_NOBODY: Final = "65534"
_SEALS: Final = ("--remount-ro", "/dev", "--remount-ro", "/")  # when all is in place: both are memory, without a bound

#: Each is of every process of the command by itself, except `nproc`, which is of all together.
_BOUNDS: Final = {
    "cpu": 120,  # seconds
    "as": 2 * 1024**3,  # bytes of address space
    "fsize": 64 * 1024**2,  # bytes of a file
    "nofile": 256,
    "nproc": 64,
    "core": 0,
}


class Unavailable(Exception):
    """Commands can't be run here; the message says why, and what would help."""


@dataclass(frozen=True)
class Captured:
    """What came out of one pipe, as far as it was kept, and whether there was more."""

    text: str
    is_cut: bool


@dataclass(frozen=True)
class Outcome:
    """How a command ended: `exit_code` as a shell counts (128 + the signal), None where its time was up."""

    exit_code: int | None
    stdout: Captured
    stderr: Captured


def require() -> None:
    """Raise Unavailable unless commands can be run here, within all of their bounds."""
    if problem := _problem():
        raise Unavailable(problem)


@cache
def _problem() -> str:
    """Return why nothing can be run, or "" after a command has been."""
    for program in ("bwrap", "prlimit"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt install bubblewrap util-linux)"
    if os.geteuid() == 0:
        return "the server runs as root, whom the kernel allows any number of processes: run it as another user"
    tried = subprocess.run(
        [*walls(), *_SEALS, *_bounds(), "true"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
        env=_ENVIRONMENT,
    )
    if tried.returncode:
        reason = (tried.stderr.strip() or f"exit code {tried.returncode}").splitlines()[0]
        return f"bubblewrap can't make namespaces here ({reason}); in a container, they have to be allowed"
    return ""


def run(command: str, *, folder: int, cwd: str, timeout: float, stop: Stop, most: tuple[int, int]) -> Outcome:
    """Run `command` by `sh -c` with the folder of the descriptor `folder` as its only writable one.

    At most `most` bytes of its output and of its errors are kept; the rest is read and dropped. Whatever it started
    has ended when this returns or raises: Unavailable, or Stopped within a quarter of a second of a stop.
    """
    require()
    place = ["--bind", f"/proc/self/fd/{folder}", INSIDE, "--chdir", f"{INSIDE}/{cwd}".removesuffix("/.")]
    inside = [*walls(), *place, *_SEALS, *_bounds(), "sh", "-c", command]
    with _started(inside, keep=folder) as process:
        captured, is_late = _collect(process, ends_at=time.monotonic() + timeout, stop=stop, most=most)
    return Outcome(None if is_late else _shell_code(process.returncode), *captured)


def walls(*, environment: Mapping[str, str] = _ENVIRONMENT, has_network: bool = False) -> list[str]:
    """Return the command line of bubblewrap that leaves a process with nothing: it grows by what is added."""
    walls = [
        "bwrap",
        "--unshare-all",
        *(["--share-net"] if has_network else []),
        "--unshare-user",
        "--uid",
        _NOBODY,
        "--gid",
        _NOBODY,
        "--disable-userns",
    ]
    walls += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox"]
    walls += [
        "--ro-bind",
        "/usr",
        "/usr",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--size",
        str(64 * 1024**2),
        "--tmpfs",
        "/tmp",  # noqa: S108  its own, inside
    ]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            walls += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            walls += ["--ro-bind", str(path), str(path)]
    walls.append("--clearenv")
    for name, value in environment.items():
        walls += ["--setenv", name, value]
    return walls


def _bounds() -> list[str]:
    """Return the command line that sets the bounds, and gives back the signals that a worker ignores."""
    return ["env", "--default-signal", "prlimit", *(f"--{name}={bound}" for name, bound in _BOUNDS.items()), "--"]


@contextmanager
def _started(command: list[str], *, keep: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a group of processes, and end it whatever happens. Its namespace dies with its first process."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[keep],
        env=_ENVIRONMENT,
        start_new_session=True,
        restore_signals=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _collect(
    process: subprocess.Popen[bytes], *, ends_at: float, stop: Stop, most: tuple[int, int]
) -> tuple[tuple[Captured, Captured], bool]:
    """Read both pipes until they are closed or time is up; returns what they said, and whether it is."""
    pipes: list[IO[bytes]] = [pipe for pipe in (process.stdout, process.stderr) if pipe]
    kept = [bytearray(), bytearray()]
    dropped = [False, False]
    is_late = False
    with selectors.DefaultSelector() as selector:
        for number, pipe in enumerate(pipes):
            selector.register(pipe, selectors.EVENT_READ, number)
        while selector.get_map() and not is_late:
            stop.check()
            for key, _ in selector.select(_LOOK_INTERVAL):
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                room = most[key.data] - len(kept[key.data])
                kept[key.data] += chunk[:room]
                dropped[key.data] |= len(chunk) > room
            is_late = time.monotonic() > ends_at
    while not is_late and process.poll() is None:  # it closed its pipes and goes on
        if stop.wait(_LOOK_INTERVAL / 2):
            stop.check()
        is_late = time.monotonic() > ends_at
    out, err = (
        Captured(bytes(text).decode("utf-8", "replace"), is_cut) for text, is_cut in zip(kept, dropped, strict=True)
    )
    return (out, err), is_late


def _shell_code(returncode: int | None) -> int | None:
    return 128 - returncode if returncode is not None and returncode < 0 else returncode
