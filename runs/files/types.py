"""What a file is, by its content: a name or a header can say anything."""

from __future__ import annotations

import re
from typing import Final

#: What models can look at.
IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})

#: Texts by the end of their names. All others, HTML and SVG too, are plain text: nobody's browser should run them.
_TEXTS: Final = {
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "json": "application/json",
    "xml": "application/xml",
}
_PLAIN: Final = "text/plain"
UNKNOWN: Final = "application/octet-stream"

TEXTS: Final = frozenset({*_TEXTS.values(), _PLAIN})

_MAGIC: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"%PDF-"), "application/pdf"),
)


def type_of(content: bytes, *, name: str, declared: str = "") -> str:
    """Return the MIME type of `content`. Which kind of text a text is may be told by its name, or by `declared`."""
    for magic, mime_type in _MAGIC:
        if magic.match(content):
            return mime_type
    if b"\0" in content or not _is_utf8(content):
        return UNKNOWN
    declared = declared.partition(";")[0].strip().lower().replace("text/xml", "application/xml")
    return _TEXTS.get(name.rpartition(".")[2].lower()) or (declared if declared in TEXTS else _PLAIN)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
