"""Glob patterns with `**`, as a shell with globstar reads them, matched in linear time."""

from __future__ import annotations

import re
from typing import Any

import re2

from runs.tools.paths import normalise
from runs.tools.registry import ToolError

_PART = re.compile(
    r"""(?P<folders>(?<![^/])\*\*/)   # at the beginning of a name
    | (?P<all>(?<![^/])\*\*$)
    | (?P<some>\*+)
    | (?P<one>\?)
    | \[(?P<set>!?\]?[^\]/]*)\]
    | \{(?P<either>[^{}]*)\}
    | .""",
    re.DOTALL | re.VERBOSE,
)
_WILD = {"folders": "(?:[^/]+/)*", "all": ".*", "some": "[^/]*", "one": "[^/]"}


def compile_glob(pattern: str) -> Any:
    """Return an object whose `fullmatch(path)` says whether a relative path matches.

    `*` and `?` stay within a name, `**/` is any number of folders, `[…]` a set, `{a,b}` either.
    Raises ToolError for a pattern that leads out of the workspace or has no meaning.
    """
    pattern = pattern.removeprefix("./")
    normalise(re.sub(r"[*?\[\]{}!,]", "x", pattern))
    try:
        return re2.compile(_translate(pattern), _options())
    except re2.error as error:
        raise ToolError(f"Invalid pattern '{pattern}': {re2_message(error)}") from error


def re2_message(error: Exception) -> str:
    """Return what RE2 has to say, which it says in bytes."""
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _translate(pattern: str) -> str:
    return _PART.sub(_regex, pattern)


def _regex(part: re.Match[str]) -> str:
    match part.lastgroup:
        case None:
            return str(re2.escape(part[0]))
        case "set":
            return _set(part["set"])
        case "either":
            return "(?:" + "|".join(_translate(one) for one in part["either"].split(",")) + ")"
        case wild:
            return _WILD[wild]


def _set(members: str) -> str:
    negated = members.startswith("!")
    escaped = re.sub(r"[\[\]^\\]", r"\\\g<0>", members[negated:])
    return f"[^/{escaped}]" if negated else f"[{escaped}]"


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    return options
