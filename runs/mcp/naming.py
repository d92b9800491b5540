"""What a foreign tool is called here: in an alphabet that all providers take, and never like one of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "mcp__"
_LONGEST: Final = 64
_LEGAL: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Illegal(Exception):
    """A name that can't be used; the message says why."""


def alias(server: str, tool: str) -> str:
    """Return `mcp__server__tool`. Raises Illegal for a name with other characters (a homoglyph, say), or too long.

    A dot, which providers don't take, becomes an underscore.
    """
    if not _LEGAL.fullmatch(tool):
        raise Illegal(f"{tool[:40]!r}: a tool's name may hold letters, digits, '_', '-' and '.'")
    name = f"{PREFIX}{server}__{tool.replace('.', '_')}"
    if len(name) > _LONGEST:
        raise Illegal(f"{tool[:40]!r}: the name is too long")
    return name


def clashes(names: Iterable[str]) -> set[str]:
    """Return those that look alike to somebody who reads quickly: the same but for case, '-' and '_'."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.lower().replace("-", "_"), []).append(name)
    return {name for group in groups.values() if len(group) > 1 for name in group}
