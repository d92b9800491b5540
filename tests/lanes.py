"""All tests, in two lanes at once: `make lanes`.

Much of the time of those that start processes goes by with waiting, and the others leave a core idle. Each lane has a
PostgreSQL and a data directory of its own (`tests.database`), and its order is fixed, so neither knows of the other.
The browser's come last, alone: they wait for what a person sees, and their driver refuses Django's queries in its thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Final

BROWSER: Final = "tests/browser"
#: What starts processes, and waits for them.
PROCESSES: Final = [
    "tests/faults",
    "tests/startup",
    "tests/live",
    "tests/operations",
    "tests/mcp",
    "tests/connectors",
    "tests/api/test_schemathesis.py",
]
REST: Final = [f"--ignore={place}" for place in (*PROCESSES, BROWSER)]
_INTERRUPTED: Final = 2  # what pytest ends with then


def main() -> int:
    """Run all; return 1 where a test failed. The first lane tells how far it is, the other when both are done."""
    with ThreadPoolExecutor(max_workers=1) as beside, tempfile.TemporaryFile() as told:
        other = beside.submit(_run, PROCESSES, told)
        if len(os.sched_getaffinity(0)) < 2:
            other.result()
        ended = [_run(REST), other.result()]
        told.seek(0)
        print("\nAnd of those that start processes:\n", told.read().decode(errors="replace"), sep="\n", flush=True)
    if _INTERRUPTED not in ended:
        ended.append(_run([BROWSER]))
    return int(any(ended))


def _run(arguments: list[str], output: IO[bytes] | None = None) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
