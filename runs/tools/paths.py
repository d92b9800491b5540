"""What a path given by a model, a document or a person may look like.

The kernel is what keeps a path inside (`beneath`); this is the layer before it: it gives a path one spelling,
so that it can be compared, and refuses early, with a reason, what only an attack or a mistake would write.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from openintern import folders
from runs.tools.registry import ToolError

MAX_LENGTH: Final = 1024
MAX_DEPTH: Final = 32
_MAX_NAME_BYTES: Final = 255

#: Written next to a file while it is replaced; never shown to anybody.
TEMPORARY: Final = ".openintern-"

_ENCODED = re.compile(r"%(?:25)*(?:00|2e|2f|5c)", re.IGNORECASE)
_ANCHORED = re.compile(r"/|~|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*:/")
_INVISIBLE = {"Cc", "Cs", "Zl", "Zp"}

#: Files that some program executes or obeys merely because they are there.
_TRAPS = re.compile(r"\..*|.*\.pth|(?:conftest|sitecustomize|usercustomize)\.py", re.IGNORECASE)


def normalise(path: str) -> str:
    """Return the one spelling of `path`, relative to the workspace; "." is the workspace itself.

    Raises ToolError for whatever leads, or pretends to lead, somewhere else, and for private names.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if reason := _escape(path) or _escape("/".join(parts)):
        raise ToolError(f"Path escapes working directory: {reason}")
    if len(path) > MAX_LENGTH or len(parts) > MAX_DEPTH:
        raise ToolError(f"Path too long: at most {MAX_LENGTH} characters and {MAX_DEPTH} folders deep")
    for part in parts:
        _require_plain_name(part)
    return "/".join(parts) or "."


def require_writable(path: str) -> None:
    """Raise ToolError where an agent may not write: names that some program would execute or obey by itself."""
    for part in path.split("/"):
        if _TRAPS.fullmatch(part):
            raise ToolError(f"Refused: '{part}' is a name that programs obey by themselves; agents may not write it")


def is_private(name: str) -> bool:
    """Whether a file or folder of this name is never shown to agents."""
    return folders.is_private(name) or name.startswith(TEMPORARY)


def _escape(path: str) -> str:
    """Return why `path` would lead out of a workspace, or "" if it doesn't try to."""
    if _ANCHORED.match(path):
        return "give a path relative to the workspace, such as notes/today.md"
    if "\\" in path:
        return "folders are separated by /, not by a backslash"
    if _ENCODED.search(path):
        return "write the path plainly, not percent-encoded"
    if any(unicodedata.normalize("NFKC", part) == ".." for part in path.split("/")):
        return "'..' is not allowed"
    return ""


def _require_plain_name(name: str) -> None:
    if any(unicodedata.category(character) in _INVISIBLE for character in name):
        raise ToolError("Invalid path: control characters are not allowed in a name")
    if name != name.strip() or name.endswith("."):
        raise ToolError(f"Path escapes working directory: '{name}' begins or ends with a blank, or ends with a dot")
    if len(name.encode("utf-8")) > _MAX_NAME_BYTES:
        raise ToolError(f"Invalid path: a name has at most {_MAX_NAME_BYTES} bytes")
    if is_private(name):
        raise ToolError(f"Refused: '{name}' is private; agents may neither read nor write it")
