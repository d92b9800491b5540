"""From bytes to text, whatever the encoding: what a text doesn't say of itself is found out."""

from __future__ import annotations

import codecs
import re
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHINESE: Final = re.compile("[\u3000-\u303f\u3040-\u30ff\u4e00-\u9fff\uff00-\uffef]")
_FOREIGN: Final = re.compile("[^\x00-\x7f]")
_LOOKED_AT: Final = 200_000


def decoded(content: bytes, *, declared: str = "") -> tuple[str, str]:
    """Return a text and the encoding that it was in, its lines ended by \\n. Bytes that fit none become U+FFFD."""
    encoding = _marked(content) or _named(declared, content) or _found(content)
    text = content.decode(encoding, errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding


def _marked(content: bytes) -> str:
    return next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "")


def _named(declared: str, content: bytes) -> str:
    """Return the encoding that a document names, if there is such a one and it fits."""
    try:
        encoding = codecs.lookup(declared.strip()).name if declared else ""
    except (LookupError, ValueError):
        return ""
    encoding = "gb18030" if encoding in {"gb2312", "gbk"} else encoding
    return encoding if encoding and encoding not in _NO_TEXT and _fits(content, encoding) else ""


#: Python's codecs that make something else of bytes than text.
_NO_TEXT: Final = frozenset({"base64", "bz2", "hex", "quopri", "rot13", "uu", "zlib", "idna", "punycode", "undefined"})


def _found(content: bytes) -> str:
    """UTF-8 proves itself; GB 18030 is believed where what comes out of it is Chinese; else it is Western."""
    if _fits(content, "utf-8"):
        return "utf-8"
    text = content[:_LOOKED_AT].decode("gb18030", errors="replace")
    foreign = _FOREIGN.findall(text)
    chinese = _CHINESE.findall(text)
    if len(chinese) * 10 >= len(foreign) * 7 and "\ufffd" not in text[:-1]:
        return "gb18030"
    return "cp1252" if _mostly_ascii(content) else "utf-8"


def _mostly_ascii(content: bytes) -> bool:
    start = content[:_LOOKED_AT]
    return sum(byte > 127 for byte in start) * 3 < len(start)


def _fits(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except (UnicodeError, ValueError, LookupError):
        return False
    return True
