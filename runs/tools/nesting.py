"""Pages that nest without end, made as flat as a browser would make them.

HTML's rules have a parser look through all open elements at many tags, and open again what was left open at each new
block: what is nested 100,000 deep takes a minute of computing, which holds up everything else in the process.
"""

from __future__ import annotations

import re
from typing import Final

#: Elements open within each other; what is below is shown, but nests no deeper. Browsers stop at 512.
_DEEPEST: Final = 500
#: Of these, what is left open is opened again in each block that follows.
_REOPENED: Final = {"b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
_MOST_REOPENED: Final = 16
#: They have no end, end by themselves where the next begins, or hold no elements.
_NOT_COUNTED: Final = {
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr",
    "a", "body", "dd", "dt", "head", "html", "li", "option", "p", "rp", "rt", "tbody", "td", "tfoot", "th", "thead", "tr",
    "iframe", "noframes", "script", "style", "textarea", "title", "xmp",
}  # fmt: skip
_TAG: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]{0,40})")


def flat(text: str) -> str:
    """Return HTML that nests no deeper than a page does: tags beyond that are line breaks. What nests less is unchanged."""
    return _TAG.sub(_Depth().judge, text)


class _Depth:
    """How many elements are open at a tag, roughly: what isn't closed counts as open."""

    def __init__(self) -> None:
        self._open = {True: 0, False: 0}  # those that are opened again; the others

    def judge(self, tag: re.Match[str]) -> str:
        """Return the tag as it may stay."""
        end, name = tag[1], tag[2].lower()
        if name in _NOT_COUNTED:
            return tag[0]
        is_reopened = name in _REOPENED
        most = _MOST_REOPENED if is_reopened else _DEEPEST
        before = self._open[is_reopened]
        self._open[is_reopened] = max(0, before - 1) if end else before + 1
        return tag[0] if before + (not end) <= most else "<br"
