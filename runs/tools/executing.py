"""The tool that runs a command, in a sandbox; there is one only where the operator has turned it on."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from runs.tools import sandbox
from runs.tools.paths import MAX_LENGTH, normalise
from runs.tools.registry import ToolContext, ToolError, build

_MOST: Final = (50_000, 10_000)  # bytes kept of the output, of the errors
MAX_TIMEOUT_MS: Final = 120_000


def exec_command(
    context: ToolContext,
    command: Annotated[str, "What `sh -c` is to run", Field(min_length=1, max_length=20_000)],
    timeout_ms: Annotated[int, "Milliseconds after which it is ended", Field(ge=100, le=MAX_TIMEOUT_MS)] = 30_000,
    cwd: Annotated[str, "Folder to run it in, relative to the workspace", Field(max_length=MAX_LENGTH)] = ".",
) -> dict[str, Any]:
    """Run a command in the workspace, without network. Nothing else can be written, and little else be read.

    `exit_code` is null where its time was up. Output is cut after 50,000 bytes, errors after 10,000; `truncated` names what was cut.
    """
    cwd = normalise(cwd)
    context.workspace.entries(cwd)  # raises where there is no such folder
    try:
        with context.workspace.lent() as folder:
            outcome = sandbox.run(
                command, folder=folder, cwd=cwd, timeout=timeout_ms / 1000, stop=context.stop, most=_MOST
            )
    except sandbox.Unavailable as error:
        raise ToolError(f"Commands can't be run on this server: {error}") from error
    return {
        "exit_code": outcome.exit_code,
        "timed_out": outcome.exit_code is None,
        "stdout": outcome.stdout.text,
        "stderr": outcome.stderr.text,
        "truncated": [
            name for name, captured in (("stdout", outcome.stdout), ("stderr", outcome.stderr)) if captured.is_cut
        ],
    }


#: What a command did to files can't be told afterwards. The engine gives it more time than it gives itself.
EXEC_COMMAND: Final = build(
    exec_command,
    risk="high",
    mutating=True,
    recovery="unsure",
    timeout=MAX_TIMEOUT_MS / 1000 + 10,
    hazard="deletes",  # it has no network
)
