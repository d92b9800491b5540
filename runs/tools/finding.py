"""Tools that look for files, and for text in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from pydantic import Field

from runs.tools.globs import compile_glob
from runs.tools.grep import Search
from runs.tools.paths import MAX_LENGTH, normalise
from runs.tools.registry import ToolContext, ToolError, tool
from runs.tools.workspace import Entry

MAX_FILES: Final = 500

Folder = Annotated[str, "Folder to look in, relative to the workspace; '.' is all of it", Field(max_length=MAX_LENGTH)]


@tool(risk="low", recovery="pure", hazard="none")
def list_files(context: ToolContext, path: Folder = ".") -> dict[str, Any]:
    """List what is directly in a folder of the workspace: names, whether file or directory, sizes in bytes.

    Begin here when you don't know the workspace. For what is deeper, use glob_files.
    """
    entries = context.workspace.entries(path)
    shown = [{"name": entry.name, "type": entry.type, "size": entry.size} for entry in entries[:MAX_FILES]]
    return {"path": normalise(path), "entries": shown, "truncated": len(entries) > MAX_FILES}


@tool(risk="low", recovery="pure", hazard="none")
def glob_files(
    context: ToolContext,
    pattern: Annotated[
        str, "Glob such as **/*.py, docs/*.md, src/**/test_*.{js,ts}", Field(min_length=1, max_length=500)
    ],
    cwd: Folder = ".",
) -> dict[str, Any]:
    """Find files by the pattern of their path.

    `*` and `?` match within a name, `**/` any number of folders (also none), `[abc]` one of a set, `{a,b}` either.
    So `*.py` finds files directly in the folder, and `**/*.py` at any depth. Returns paths relative to the workspace,
    in order, 500 at most; `truncated` says that there are more.
    """
    matcher, folder = compile_glob(pattern), normalise(cwd)
    below = 0 if folder == "." else len(folder) + 1
    found: list[str] = []
    for entry in _files(context, folder):
        if matcher.fullmatch(entry.path[below:]):
            if len(found) == MAX_FILES:
                return {"files": found, "truncated": True}
            found.append(entry.path)
    return {"files": found, "truncated": False}


@tool(risk="low", recovery="pure", hazard="none")
def grep_files(
    context: ToolContext,
    pattern: Annotated[
        str, "Regular expression (RE2: no look-around, no back-references)", Field(min_length=1, max_length=1000)
    ],
    path: Annotated[str, "File or folder to search, relative to the workspace", Field(max_length=MAX_LENGTH)] = ".",
    include: Annotated[
        str, "Glob of the files to search: *.py by name, docs/**/*.md by path; empty for all", Field(max_length=500)
    ] = "",
    max_results: Annotated[int, "How many matching lines to return", Field(ge=1, le=200)] = 50,
    ignore_case: Annotated[bool, "Whether upper and lower case are alike"] = True,
    fixed: Annotated[bool, "Take the pattern as plain text, not as a regular expression"] = False,
) -> dict[str, Any]:
    """Search the text of files, line by line.

    Returns matching lines in the order of their paths, each with its file and line number, and in `total` how many lines
    match in all. Files that aren't text are passed over. `truncated` says that not every match is listed, or that time ran
    out before every file was searched: then narrow path, include or pattern.
    """
    search = Search(pattern, ignore_case=ignore_case, fixed=fixed, keep=max_results)
    wanted = compile_glob(include) if include else None
    for entry in _files(context, path):
        if search.check_time():
            break
        if wanted is None or wanted.fullmatch(entry.path if "/" in include else entry.name):
            _search_file(search, context, entry)
    return search.result()


def _search_file(search: Search, context: ToolContext, entry: Entry) -> None:
    try:
        content = context.workspace.read(entry.path)
    except ToolError:  # gone since the folder was read, or larger than can be read: not among those searched
        return
    search.look_into(entry.path, content)


def _files(context: ToolContext, path: str) -> Iterator[Entry]:
    """Yield the files below `path` in order, for as long as the run goes on."""
    for entry in context.workspace.walk(path):
        context.stop.check()
        yield entry
