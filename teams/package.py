"""Reading a skill from a folder or a zip: a file SKILL.md, and the texts beside it.

What comes in is taken for hostile: nothing is unpacked to the disk, nothing is followed, everything is counted while it
is read. SKILL.md begins with front matter in YAML; what it says about commands or environments is refused.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from openintern.errors import Invalid, OpenInternError
from teams import plain_yaml

ENTRY: Final = "SKILL.md"
MOST_FILES: Final = 200
MOST_BYTES: Final = 2 * 1024 * 1024  # of all files
MOST_ZIP_BYTES: Final = 4 * 1024 * 1024
MOST_RATIO: Final = 100  # how often an entry may be larger than its compressed form
_LEAST_SUSPECT: Final = 64 * 1024  # bytes: a smaller entry may shrink as it likes
_LONGEST_PATH: Final = 200
_LONGEST_MATTER: Final = 16_000
_ENCRYPTED: Final = 0x1

#: What would let a skill say what is executed, and where.
FORBIDDEN: Final = frozenset({"command", "args", "env", "cwd", "transport", "url", "headers", "mcpServers", "hooks"})


@dataclass(frozen=True)
class Package:
    """What was read: the skill's name and what it says, in the words of `teams.skills`."""

    name: str
    content: dict[str, Any] = field(default_factory=dict)


def from_zip(archive: bytes) -> Package:
    """Read a zip. Raises TOO_LARGE, or VALIDATION_ERROR for anything in it that a skill has no need of."""
    if len(archive) > MOST_ZIP_BYTES:
        raise OpenInternError("TOO_LARGE", f"A skill's zip has at most {MOST_ZIP_BYTES // 1024**2} MiB")
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return _package(dict(_entries(opened)), source="remote")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise Invalid("file", "Is no zip that can be read") from error


def from_folder(folder: Path) -> Package:
    """Read a folder of the server's; links in it are refused. Raises VALIDATION_ERROR."""
    return _package(dict(_files(folder)), source="local")


def _entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    listed = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(archive.infolist()) > MOST_FILES:
        raise Invalid("file", f"Holds more than {MOST_FILES} entries")
    if len({entry.filename for entry in listed}) != len(listed):
        raise Invalid("file", "Holds two entries of one name")
    left = MOST_BYTES
    for entry in listed:
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise Invalid("file", f"{entry.filename[:100]!r} is no ordinary file")
        if entry.flag_bits & _ENCRYPTED:
            raise Invalid("file", "Is encrypted")
        content = _read(archive, entry, most=left)
        left -= len(content)
        yield checked_path(entry.filename), content


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, most: int) -> bytes:
    """Read no more than is allowed, whatever the entry says of its size."""
    with archive.open(entry) as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OpenInternError("TOO_LARGE", f"A skill's files have at most {MOST_BYTES // 1024**2} MiB together")
    if len(content) > max(_LEAST_SUSPECT, MOST_RATIO * entry.compress_size):
        raise Invalid("file", f"{entry.filename[:100]!r} grows more than {MOST_RATIO} times")
    return content


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    count, left = 0, MOST_BYTES
    for here, folders, names in os.walk(folder, followlinks=False):
        for name in [*folders, *names]:
            if (Path(here) / name).is_symlink():
                raise Invalid("folder", f"{name!r} is a link")
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(one for one in names if not one.startswith(".")):
            count += 1
            path = Path(here) / name
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
                if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                    raise Invalid("folder", f"{name!r} is no ordinary file")
                content = opened.read(left + 1)
            left -= len(content)
            if left < 0 or count > MOST_FILES:
                raise OpenInternError("TOO_LARGE", f"A skill has at most {MOST_FILES} files and {MOST_BYTES} bytes")
            yield checked_path(path.relative_to(folder).as_posix()), content


def checked_path(path: str) -> str:
    """Return the path of an attached file. Raises VALIDATION_ERROR for one that could lead anywhere else."""
    parts = PurePosixPath(path).parts
    is_odd = (
        not path
        or len(path) > _LONGEST_PATH
        or "\\" in path
        or ":" in path
        or path.startswith(("/", "~"))
        or any(part in {"..", "."} or part.startswith(".") for part in path.split("/"))
        or "//" in path
        or not path.isprintable()
        or not parts
    )
    if is_odd:
        raise Invalid("file", f"{path[:100]!r} is no name for a file of a skill")
    return path


def _package(files: dict[str, bytes], *, source: str) -> Package:
    """Make a skill of what was read; a single folder around it all is taken off."""
    entries = [path for path in files if PurePosixPath(path).name == ENTRY and path.count("/") <= 1]
    if len(entries) != 1:
        raise Invalid("file", f"Must hold one {ENTRY}, at the top or in the one folder at the top")
    base = entries[0].removesuffix(ENTRY)
    if any(not path.startswith(base) for path in files):
        raise Invalid("file", f"Must hold nothing outside the folder of {ENTRY}")
    texts = {path.removeprefix(base): _text(path, content) for path, content in files.items()}
    matter, text = _split(texts.pop(ENTRY))
    return _from_matter(matter, text, texts, source=source)


def _text(path: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("file", f"{path[:100]!r} is no text in UTF-8") from error
    if "\0" in text:
        raise Invalid("file", f"{path[:100]!r} is no text in UTF-8")
    return text


def _split(document: str) -> tuple[dict[str, Any], str]:
    """Return the front matter and the text below it."""
    lines = document.splitlines()
    if not lines or lines[0].strip() != "---":
        raise Invalid(ENTRY, "Must begin with front matter between two lines of ---")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise Invalid(ENTRY, "Its front matter doesn't end")
    raw = "\n".join(lines[1:end])
    if len(raw) > _LONGEST_MATTER:
        raise Invalid(ENTRY, f"Its front matter must be at most {_LONGEST_MATTER} characters")
    try:
        matter = plain_yaml.load(raw)
    except (yaml.YAMLError, RecursionError) as error:
        raise Invalid(ENTRY, "Its front matter is not valid YAML") from error
    if not isinstance(matter, dict):
        raise Invalid(ENTRY, "Its front matter must name fields")
    return {str(key): value for key, value in matter.items()}, "\n".join(lines[end + 1 :]).strip()


def _from_matter(matter: dict[str, Any], text: str, files: dict[str, str], *, source: str) -> Package:
    if refused := sorted(FORBIDDEN & set(matter)):
        raise OpenInternError(
            "UNKNOWN_FIELD", f"A skill has no field {refused[0]}", details={"field": f"{ENTRY}.{refused[0]}"}
        )
    name = matter.get("name")
    if not isinstance(name, str):
        raise Invalid(f"{ENTRY}.name", "Missing")
    content: dict[str, Any] = {
        "label": str(matter.get("version", ""))[:50],
        "description": " ".join(str(matter.get("description", "")).split()),
        "text": text,
        "files": files,
        "tools": _names(matter, "tools"),
        "risk_level": _one_of(matter, "risk", ("low", "medium", "high")),
        "source_type": source,
        "entry_path": ENTRY,
        "allow_implicit_invocation": matter.get("allow_implicit_invocation", matter.get("implicit", False)) is True,
        "dependencies": matter["dependencies"] if isinstance(matter.get("dependencies"), dict) else {},
    }
    return Package(name, content)


def _names(matter: dict[str, Any], field_name: str) -> list[Any]:
    """A list, or names with commas or blanks between them."""
    told = matter.get(field_name) or []
    if isinstance(told, str):
        return told.replace(",", " ").split()
    if not isinstance(told, list) or not all(isinstance(one, str | dict) for one in told):
        raise Invalid(f"{ENTRY}.{field_name}", "Must be a list")
    return told


def _one_of(matter: dict[str, Any], field_name: str, known: tuple[str, ...]) -> str:
    told = matter.get(field_name, known[0])
    if told not in known:
        raise Invalid(f"{ENTRY}.{field_name}", f"Must be one of {', '.join(known)}")
    return str(told)
