"""The fixtures of `tests/runs`: runs with real commits, and workers in this process."""

from tests.runs.conftest import (  # noqa: F401
    add_tool,
    alice,
    bob,
    charlie,
    crash_in,
    empty_queue,
    hire,
    start_run,
    work,
)
