"""A zip from outside, opened without believing it. No program is started, nothing is written, little is held.

What its end says of its directory is looked at before any of it is read: a million entries never become objects. Each
entry is judged by name, kind, size and ratio; the two that are wanted are read in pieces, up to a bound, whatever
they say of their size.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Final

from connectors.mineru.refusals import Refused

MOST_ENTRIES: Final = 5_000
MOST_DIRECTORY_BYTES: Final = 1024 * 1024
MOST_TOTAL_BYTES: Final = 1024 * 1024 * 1024
MOST_RATIO: Final = 200
_RATIO_COUNTS_FROM: Final = 1024 * 1024
MOST_TEXT_BYTES: Final = 16 * 1024 * 1024
LONGEST_NAME: Final = 300
_PIECE: Final = 64 * 1024
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_LONG_END_MARK: Final = b"PK\x06\x07"
_LONGEST_END: Final = 65_535 + _END.size
_ENCRYPTED: Final = 0x1
_KINDS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


@dataclass(frozen=True)
class Found:
    """What of it is wanted: the content list (JSON) or, in its absence, Markdown; and what the document is called."""

    content_list: str = ""
    markdown: str = ""
    name: str = ""


def opened(file: IO[bytes]) -> Found:
    """Return what a result holds. Raises Refused: MINERU_ZIP_REFUSED, MINERU_ZIP_EMPTY."""
    _judge_end(file)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _judge(entries)
            return _wanted(archive, entries)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError, OSError) as error:
        raise _refused(f"it is no whole zip file ({type(error).__name__})") from error


def _judge_end(file: IO[bytes]) -> None:
    """Hold the directory to its bounds by what the end of the file says of it, as the library will read it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LONGEST_END))
    tail = file.read(_LONGEST_END)
    if not size or not tail:
        raise Refused("MINERU_ZIP_EMPTY", "The result is empty")
    plain = tail[-_END.size :]
    at = len(tail) - _END.size if plain.startswith(_END_MARK) and plain.endswith(b"\0\0") else tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise _refused("it is no zip file")
    if tail[max(0, at - 20) : at].startswith(_LONG_END_MARK):
        raise _refused("it has more entries than fit")
    _, _, _, _, entries, directory_bytes, _, _ = _END.unpack_from(tail, at)
    if entries > MOST_ENTRIES or directory_bytes > MOST_DIRECTORY_BYTES:
        raise _refused(f"it has {entries} entries")


def _judge(entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise Refused("MINERU_ZIP_EMPTY", "The result is empty")
    if len(entries) > MOST_ENTRIES:
        raise _refused(f"it has {len(entries)} entries")
    if sum(entry.file_size for entry in entries) > MOST_TOTAL_BYTES:
        raise _refused("it would unpack to too much")
    if len({entry.filename.casefold() for entry in entries}) < len(entries):
        raise _refused("it has two entries of one name")
    for entry in entries:
        _judge_entry(entry)


def _judge_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    if not name or len(name) > LONGEST_NAME or "\0" in name or "\\" in name or name.startswith("/") or ":" in name:
        raise _refused("an entry's name leads elsewhere")
    if ".." in name.split("/"):
        raise _refused("an entry's name leads elsewhere")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise _refused("an entry is no plain file")
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _KINDS:
        raise _refused("an entry is encrypted, or packed in an uncommon way")
    if entry.file_size > _RATIO_COUNTS_FROM and entry.file_size > MOST_RATIO * max(entry.compress_size, 1):
        raise _refused("an entry would unpack to too much")


def _wanted(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> Found:
    files = sorted((entry for entry in entries if not entry.is_dir()), key=lambda entry: entry.filename)
    lists = [entry for entry in files if entry.filename.endswith("content_list.json")]
    texts = [entry for entry in files if entry.filename.endswith(".md")]
    if not lists and not texts:
        raise Refused("MINERU_ZIP_EMPTY", "The result holds no text")
    name = lists[0].filename.rpartition("/")[2].removesuffix("content_list.json").rstrip("_") if lists else ""
    return Found(
        content_list=_text(archive, lists[0]) if lists else "",
        markdown=_text(archive, texts[0]) if texts else "",
        name=name,
    )


def _text(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    """An entry's text, read in pieces and up to a bound: what it says of its size may be a lie."""
    content = bytearray()
    with archive.open(entry) as file:
        while piece := file.read(_PIECE):
            content += piece
            if len(content) > MOST_TEXT_BYTES:
                raise _refused("its text is too long")
    return content.decode("utf-8-sig", errors="replace")


def _refused(why: str) -> Refused:
    return Refused("MINERU_ZIP_REFUSED", f"The result can't be taken: {why}")
