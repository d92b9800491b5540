"""Short words for what agents do: what fits on one line of a page."""

from __future__ import annotations

from typing import Any

from openintern.text import shorten

ONE_LINE = 140

_ICONS = {
    "read": "file",
    "write": "pencil",
    "edit": "pencil",
    "list": "folder",
    "glob": "folder",
    "grep": "search",
    "memory": "search",
    "export": "download",
}
_TELLING = ("path", "pattern", "query", "run_id", "url", "name", "command", "to", "decision", "text", "goal")


def kind_of_tool(name: str) -> str:
    """Return the icon of a tool: what it does to files and the like can be seen before it is read."""
    return _ICONS.get(name.partition("_")[0], "tool")


def about_call(args: Any) -> str:
    """Return what a call is about in one line: its telling arguments, else all of them."""
    if not isinstance(args, dict):
        return gist(str(args or ""))
    telling = [str(args[name]) for name in _TELLING if args.get(name)]
    return gist("  ".join(telling) or "  ".join(f"{name}={value}" for name, value in args.items()))


def gist(text: str) -> str:
    """Return the beginning of a text as one line."""
    return shorten(" ".join(text[: 4 * ONE_LINE].split()), ONE_LINE)
