"""The process that a hostile document is read in: `python -m memory.documents.child pdf < file`.

It has no secret in its environment, no database, and bounds that it sets itself before it looks at the first byte.
What it finds goes to its output, a line of JSON each: parts, facts, and at the end how many parts there were.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from typing import Any, Final

from memory.documents.parts import Unreadable, as_wire
from memory.documents.readers import reader_of

#: Bounds: seconds of computing, bytes of address space. Nothing is written, so no file may grow.
CPU_SECONDS: Final = 60
MEMORY: Final = 1024**3


def main(kind: str) -> None:
    """Read the document on the standard input, and say what came of it."""
    logging.disable(logging.CRITICAL)
    read = reader_of(kind)  # libraries first: they are ours, and need room of their own
    _bound_ourselves()
    parts = 0
    try:
        for part in read(sys.stdin.buffer.read(), _tell):
            _say(part=as_wire(part))
            parts += 1
    except Unreadable as refusal:
        _say(problem=refusal.problem)
    except MemoryError:
        _say(problem="too_demanding")
    except Exception:  # noqa: BLE001  the outermost edge: a library that chokes on a file says that the file is broken
        _say(problem="broken")
    else:
        _say(end=parts)


def _bound_ourselves() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 2))  # the first is a signal that tells why
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))


def _tell(**facts: Any) -> None:
    _say(facts=facts)


def _say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    if "part" not in line:
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
