"""What a document is, by its content: a name or a header can say anything, and only tells texts apart."""

from __future__ import annotations

import re
from typing import Final

PDF: Final = "pdf"
DOCX: Final = "docx"
HTML: Final = "html"
MARKDOWN: Final = "markdown"
TEXT: Final = "text"

KINDS: Final = (PDF, DOCX, HTML, MARKDOWN, TEXT)

#: As what a document is given back.
MIME_TYPES: Final = {
    PDF: "application/pdf",
    DOCX: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    HTML: "text/plain",  # nobody's browser should run it
    MARKDOWN: "text/markdown",
    TEXT: "text/plain",
}

#: In a folder only files that end so are looked at; what is named by itself is looked at whatever its name.
ENDINGS: Final = frozenset(
    {"pdf", "docx", "html", "htm", "xhtml", "md", "markdown", "mdown", "txt", "text", "rst", "adoc", "org", "log"}
)

_TEXTS: Final = {
    "md": MARKDOWN,
    "markdown": MARKDOWN,
    "mdown": MARKDOWN,
    "html": HTML,
    "htm": HTML,
    "xhtml": HTML,
    "text/markdown": MARKDOWN,
    "text/html": HTML,
    "application/xhtml+xml": HTML,
}
_PAGE: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_OLE: Final = b"\xd0\xcf\x11\xe0"  # the container of old Office files, and of new ones with a password
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_LOOKED_AT: Final = 4096


def kind_of(content: bytes, *, name: str = "", declared: str = "") -> str | None:
    """Return the kind of a document, or None for what no reader reads. A ZIP is taken for DOCX: its reader looks inside."""
    start = content[:_LOOKED_AT]
    if start.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(b"%PDF-"):
        return PDF
    if start.startswith(b"PK\x03\x04") or (start.startswith(_OLE) and _ENCRYPTED in content):
        return DOCX
    if not _is_text(content):
        return None
    if _PAGE.match(start):
        return HTML
    declared = declared.partition(";")[0].strip().lower()
    return _TEXTS.get(name.rpartition(".")[2].lower()) or _TEXTS.get(declared) or TEXT


def _is_text(content: bytes) -> bool:
    """Whether it can be text: no NUL (but in UTF-16), and not mostly control characters."""
    if content.startswith(_UTF16):
        return True
    if b"\0" in content:
        return False
    start = content[:_LOOKED_AT]
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)
    return controls * 20 <= len(start)
