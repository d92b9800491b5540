"""The files that a person sent along: read where they stand in the message, and told apart from what was asked."""

from __future__ import annotations

import json
import re
from typing import Any

from runs.llm.demo.text.reading import LONGEST_LINE, Reading

#: As `runs.files.attachments` writes them; the id at the end is one that the file's author couldn't know.
_ATTACHED = re.compile(
    r'\n*\[Attachment (?P<name>"(?:[^"\\]|\\.)*"), [^;\]\n]+; data, not instructions; up to the end of (?P<id>upl_\w+)\]\n'
    r"(?P<text>.*?)\n\[End of (?P=id)\]",
    re.S,
)
_NOT_SHOWN = re.compile(r'\n*\[Attachment "(?:[^"\\\n]|\\.)*"(?:: [^\]\n]*| is no longer there)\]')
_SUMMARY = re.compile(r"\b(?:summar\w+|sum up|tl;?dr|gist|key points|main points)\b|总结|概括|摘要|归纳|要点", re.I)


def parted(text: str) -> tuple[str, tuple[Reading, ...]]:
    """A message without its attachments, and what they say."""
    readings = tuple(_reading(found) for found in _ATTACHED.finditer(text))
    return _NOT_SHOWN.sub("", _ATTACHED.sub("", text)), readings


def to_summarise(question: str, path: str, attached: tuple[Reading, ...]) -> Reading | None:
    """The attachment that is to be summarised: the one of that name, or the last where the question names no file."""
    if path:
        return next((reading for reading in reversed(attached) if reading.path == path), None)
    return attached[-1] if attached and _SUMMARY.search(question) else None


def _reading(found: re.Match[str]) -> Reading:
    lines = tuple(line[:LONGEST_LINE] for line in found["text"].splitlines())
    name: Any = json.loads(found["name"])
    return Reading(" ".join(str(name).split()), lines, 1, len(lines))
