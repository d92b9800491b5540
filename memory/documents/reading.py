"""Reading a document without trusting it: its reader runs in a process that can't take anything down with it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from memory.documents.parts import Part, Unreadable, from_wire
from memory.documents.readers import HARMLESS, reader_of
from openintern.supervision import kill_group, spawn

#: Wall time of one document. Its process has bounds of its own beside it (`child`).
SECONDS: Final = 120.0
#: Characters of a document; a longer one is refused, not cut.
LONGEST_TEXT: Final = 4_000_000
MOST_PARTS: Final = 500_000
_MOST_SENT: Final = 64 * 1024 * 1024  # bytes of all that a reader says
_LONGEST_FACT: Final = 300
_TICK_SECONDS: Final = 0.5
_CHUNK: Final = 65_536
_ROOT: Final = Path(__file__).resolve().parent.parent.parent

#: Called about twice a second with what is known so far; what it raises ends the reading.
Watch = Callable[["Findings"], None]


@dataclass
class Findings:
    """What is known of a document: `page` is how far its reader is, `textless_pages` had no text layer."""

    parts: list[Part] = field(default_factory=list)
    title: str = ""
    encoding: str = ""
    pages: int | None = None
    page: int = 0
    textless_pages: int = 0
    characters: int = 0

    def take(self, part: Part) -> None:
        """Add a part. Raises Unreadable when that is more than a document has."""
        self.parts.append(part)
        self.characters += len(part.text)
        if self.characters > LONGEST_TEXT or len(self.parts) > MOST_PARTS:
            raise Unreadable("too_long")

    def learn(self, **facts: Any) -> None:
        """Take what a reader says of the document, as far as it is what it should be."""
        for name, value in facts.items():
            match name, value:
                case (("title" | "encoding"), str()):
                    setattr(self, name, " ".join(value.split())[:_LONGEST_FACT])
                case (("pages" | "page" | "textless_pages"), int()) if 0 <= value < 2**31:
                    setattr(self, name, value)


def read(path: Path, *, kind: str, watch: Watch = lambda findings: None) -> Findings:
    """Return all that a document says. Raises Unreadable with the reason; FileNotFoundError where its bytes are gone."""
    findings = Findings()
    if kind in HARMLESS:
        for part in reader_of(kind)(path.read_bytes(), findings.learn):
            findings.take(part)
    else:
        _read_apart(path, kind, findings, watch)
    if not any(part.text.strip() for part in findings.parts):
        raise Unreadable("no_text")
    return findings


def _read_apart(path: Path, kind: str, findings: Findings, watch: Watch) -> None:
    with _reader(path, kind) as process:
        for line in _lines(process, tick=lambda: watch(findings)):
            if _is_end(line, findings):
                return
        raise Unreadable(_cause_of_death(process.wait()))


def _is_end(line: bytes, findings: Findings) -> bool:
    """Take a line of a reader's; return whether it was its last word."""
    try:
        match json.loads(line):
            case {"part": sent}:
                findings.take(from_wire(sent))
            case {"facts": dict(facts)}:
                findings.learn(**facts)
            case {"problem": str(problem)}:
                raise Unreadable(problem)
            case {"end": int(count)} if count == len(findings.parts):
                return True
            case _:
                raise Unreadable("broken")
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable("broken") from error
    return False


@contextmanager
def _reader(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """A reader's process on a file; ended whatever happens. Its environment tells it nothing but where we are."""
    environ = {"PYTHONPATH": str(_ROOT), "PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "memory.documents.child", kind]
    with path.open(encoding="latin-1") as file:  # it reads the bytes itself
        process = spawn(
            command, environ=environ, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
        )
    try:
        yield process
    finally:
        kill_group(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _lines(process: subprocess.Popen[str], *, tick: Callable[[], None]) -> Iterator[bytes]:
    """Yield what a reader says, line by line, while it keeps to the bounds."""
    assert process.stdout is not None  # noqa: S101  it was started with a pipe
    descriptor, begun, sent = process.stdout.fileno(), bytearray(), 0  # `begun`: a line that has no end yet
    ends_at, tick_at = time.monotonic() + SECONDS, 0.0
    while True:
        ready, _, _ = select.select([descriptor], [], [], _TICK_SECONDS)
        now = time.monotonic()
        if now >= tick_at:
            tick()
            tick_at = now + _TICK_SECONDS
        if now >= ends_at:
            raise Unreadable("too_slow")
        if not ready:
            continue
        chunk = os.read(descriptor, _CHUNK)
        sent += len(chunk)
        if not chunk:
            return
        if sent > _MOST_SENT:
            raise Unreadable("too_long")
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield bytes(begun + end)
            begun.clear()
        begun += rest


def _cause_of_death(status: int) -> str:
    """Return what to tell of a reader that ended before it was done: out of time, out of memory, or broken down."""
    match -status:
        case signal.SIGXCPU:
            return "too_slow"
        case signal.SIGKILL:
            return "too_demanding"
    return "broken"
