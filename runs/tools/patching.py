"""The tool that applies a patch: all of it or nothing, also when the disk fails or the worker dies in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field

from runs.tools.files import MAX_CONTENT, current, require_seen
from runs.tools.paths import MAX_LENGTH, normalise, require_writable
from runs.tools.registry import ToolContext, ToolError, tool
from runs.tools.unified_diff import Action, FileDiff, parse
from runs.tools.workspace import Usage, Workspace, digest

MAX_FILES: Final = 25
_DONE: Final[dict[Action, str]] = {"create": "created", "change": "changed", "delete": "deleted"}

Patch = Annotated[
    str,
    "A unified diff: '--- a/path', '+++ b/path', then hunks '@@ -start,lines +start,lines @@' with three lines of context. "
    "/dev/null stands for a file that isn't there",
    Field(min_length=1, max_length=MAX_CONTENT),
]
OnlyPath = Annotated[
    str | None,
    "The file, for hunks without '---' and '+++' lines; leave it out otherwise",
    Field(min_length=1, max_length=MAX_LENGTH),
]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of a file: its content before and after; None where there is no file.

    `is_made`: a call that was cut off has seen to this one already.
    """

    path: str
    action: Action
    before: bytes | None
    after: bytes | None
    is_made: bool = False

    def make(self, workspace: Workspace, usage: Usage) -> None:
        """Bring the file from `before` to `after`."""
        _put(workspace, self.path, self.after, usage)

    def take_back(self, workspace: Workspace, usage: Usage) -> None:
        """Bring the file from `after` to `before`."""
        _put(workspace, self.path, self.before, usage)

    def report(self) -> dict[str, Any]:
        """Return what the model is told; the digest lets the run change the file again."""
        report: dict[str, Any] = {"path": self.path, "action": _DONE[self.action]}
        return report if self.after is None else {**report, "bytes": len(self.after), "sha256": digest(self.after)}


def _patched(context: ToolContext, *, patch: str, path: str | None) -> dict[str, Any] | None:
    """Tell whether a patch that was cut off is in every file. Where it is in some, calling again does the rest."""
    changes = list(_planned(context, parse(patch, path=path)))
    return _result(changes) if all(change.is_made for change in changes) else None


@tool(risk="medium", mutating=True, recovery="checkable", check=_patched, hazard="none", taints=False)
def apply_patch(context: ToolContext, patch: Patch, path: OnlyPath = None) -> dict[str, Any]:
    """Change, create and delete text files by a unified diff. All of it is done, or nothing.

    Files that are changed or deleted must have been read in this run, and not have changed since. The lines of context must stand in
    the file exactly. A hunk whose line number is wrong is found by its context, if that occurs only once.
    """
    diffs = parse(patch, path=path)
    with context.workspace.locked():
        changes = list(_planned(context, diffs))
        context.stop.check()
        _make_all(context.workspace, [change for change in changes if not change.is_made])
    return _result(changes)


def _planned(context: ToolContext, diffs: Sequence[FileDiff]) -> Iterator[Change]:
    """Yield what is to become of each file. Writes nothing; raises ToolError, naming the file, where a part can't be done."""
    paths = [normalise(diff.path) for diff in diffs]
    if len(paths) > MAX_FILES:
        raise ToolError(f"The patch changes more than {MAX_FILES} files; divide it")
    for path, diff in zip(paths, diffs, strict=True):
        if paths.count(path) > 1:
            raise ToolError(f"{path} occurs more than once in the patch: put all of its hunks under one header")
        require_writable(path)
        try:
            yield _change(context, path, diff)
        except ToolError as error:
            raise error if path in str(error) else ToolError(f"{path}: {error}") from error


def _change(context: ToolContext, path: str, diff: FileDiff) -> Change:
    present = current(context.workspace, path)
    if diff.action == "create":
        return _creation(path, present, diff)
    if present is None:
        return _deletion_made(context, path, diff)
    if diff.action == "change" and (before := _before(context, path, present, diff)) is not None:
        return Change(path=path, action="change", before=before, after=present, is_made=True)
    require_seen(context, path, present)
    after = diff.apply(present)
    if diff.action == "change":
        return Change(path=path, action="change", before=present, after=after)
    if after:
        raise ToolError(
            f"{path} can't be deleted: the patch must take away every line, and {len(after):,} bytes would be left"
        )
    return Change(path=path, action="delete", before=present, after=None)


def _creation(path: str, present: bytes | None, diff: FileDiff) -> Change:
    wanted = diff.apply(b"")
    if present is not None and present != wanted:
        raise ToolError(f"{path} exists already: to change it, write its path behind '---' too")
    return Change(path=path, action="create", before=None, after=wanted, is_made=present is not None)


def _deletion_made(context: ToolContext, path: str, diff: FileDiff) -> Change:
    """Take a missing file for deleted by this patch if it is the very file that the patch takes away."""
    if diff.action != "delete" or context.seen.get(path) not in [digest(before) for before in diff.candidates(b"")]:
        raise ToolError(f"No such file or folder: {path}. To create it, write '--- /dev/null'")
    return Change(path=path, action="delete", before=None, after=None, is_made=True)


def _before(context: ToolContext, path: str, present: bytes, diff: FileDiff) -> bytes | None:
    """Return the file this run had read, if taking the patch back gives it: then the patch was made, and cut off."""
    if context.seen.get(path) in {None, digest(present)}:
        return None
    return next((before for before in diff.candidates(present) if digest(before) == context.seen[path]), None)


def _make_all(workspace: Workspace, changes: Sequence[Change]) -> None:
    """Make every change, or, when one fails, put back what was there and raise why. Deletions come last."""
    usage = workspace.usage()
    with ExitStack() as made:
        for change in sorted(changes, key=lambda one: one.after is None):
            change.make(workspace, usage)
            made.callback(change.take_back, workspace, usage)
        made.pop_all()


def _put(workspace: Workspace, path: str, content: bytes | None, usage: Usage) -> None:
    if content is not None:
        workspace.write(path, content, usage=usage)
    elif workspace.exists(path):
        workspace.delete(path, usage=usage)


def _result(changes: Sequence[Change]) -> dict[str, Any]:
    return {"files": [change.report() for change in changes]}
