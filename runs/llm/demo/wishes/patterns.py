"""Patterns of what people write, in either language."""

from __future__ import annotations

import re


def pattern(*alternatives: str) -> re.Pattern[str]:
    """Any of the alternatives; a group that several need has its name numbered, as `file`, `file2`."""
    return re.compile("|".join(alternatives), re.IGNORECASE | re.DOTALL)


def group(match: re.Match[str]) -> str:
    """What stands in the one group that took part in the match; "" when there is none."""
    return next(filter(None, match.groups()), "")
