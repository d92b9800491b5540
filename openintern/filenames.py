"""Names of files that people send: shown, stored, offered again, and never used as a path."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST_NAME: Final = 200

_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
_REORDERING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # makes `exe.txt` look like `txt.exe`


def plain_name(name: str) -> str:
    """Return the name without folders and without what can't be seen, in any script; "upload" if nothing is left."""
    name = seen(name.replace("\\", "/").rpartition("/")[2])
    if not name.strip("."):
        return "upload"
    stem, dot, end = name.rpartition(".")
    return name if len(name) <= LONGEST_NAME else (stem or name)[: LONGEST_NAME - 20] + (dot + end)[:20]


def seen(name: str) -> str:
    """Return what a reader sees of a name: no control character, nothing that turns its letters round."""
    name = unicodedata.normalize("NFC", name)
    name = "".join(character for character in name if unicodedata.category(character) not in _UNSEEN)
    return _REORDERING.sub("", name).strip()
