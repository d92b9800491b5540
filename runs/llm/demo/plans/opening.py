"""Open the file a person means, by the name they gave it, and understand what the tools say of files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from runs.llm.demo.calls import Asking, Batch, Reply, Toolbox
from runs.llm.demo.text.reading import LONGEST_LINE, Reading
from runs.llm.demo.words.phrases import Voice

MOST_SUGGESTED = 5


class UnreadableError(Exception):
    """No such file, or none that can be read; `reason` is fit for the person who asked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def open_file(
    path: str, *, tools: Toolbox, voice: Voice, start: int = 1, end: int | None = None
) -> Asking[tuple[Reading, Reply]]:
    """Read the file at `path`, or the one file whose name it is the end of. Raises UnreadableError.

    The listing is asked for in the same batch, so that a name without its folder costs one more step at most.
    """
    if not tools.offers("read_file"):
        raise UnreadableError(voice.say("tool_missing", tool="read_file"))
    lines = {"start_line": start} | ({"end_line": end} if end else {})
    name = spelled_out(PurePosixPath(path).name)
    listing = tools.call("glob_files", pattern=f"**/*{name}*")
    first, *others = yield Batch(
        voice.say("say_open", path=f"`{path}`"), (*tools.call("read_file", path=path, **lines), *listing)
    )
    if reading := reading_of(first):
        return reading, first
    likely = _likeliest(path, [found for reply in others for found in listed(reply)])
    if not likely or likely[0] == path:
        raise UnreadableError(_why(path, first, likely, voice))
    again = yield Batch(
        voice.say("say_open", path=f"`{likely[0]}`"), tuple(tools.call("read_file", path=likely[0], **lines))
    )
    if reading := reading_of(again[0]):
        return reading, again[0]
    raise UnreadableError(_why(path, again[0], likely, voice))


def spelled_out(path: str) -> str:
    """A glob for just this path: what a glob would read as a sign stands for any one character."""
    return re.sub(r"[*?\[\]{}!,]", "?", path)


def _likeliest(path: str, found: list[str]) -> list[str]:
    """Closest name first, then the shallowest."""
    wanted = PurePosixPath(path).name.lower()

    def distance(candidate: str) -> tuple[bool, bool, int, str]:
        name = PurePosixPath(candidate).name.lower()
        return (name != wanted, PurePosixPath(name).stem != wanted, candidate.count("/"), candidate)

    return sorted(found, key=distance)


def _why(path: str, reply: Reply, likely: list[str], voice: Voice) -> str:
    reason = voice.say("no_such_file", path=path, error=reply.error or voice.say("not_there"))
    others = [candidate for candidate in likely if candidate != path]
    if others:
        reason += " " + voice.say("did_you_mean", paths=voice.names(others, most=MOST_SUGGESTED))
    return reason


def reading_of(reply: Reply) -> Reading | None:
    """What `read_file` read; None when it failed."""
    path = reply.text("path")
    if reply.error or not path or not isinstance(reply.value.get("content"), str):
        return None
    # Only a line feed ends a line: so do the tools count them.
    content = reply.text("content").removesuffix("\n")
    lines = tuple(line.rstrip("\r")[:LONGEST_LINE] for line in content.split("\n")) if content else ()
    start = max(1, reply.number("start_line", 1))
    return Reading(path, lines, start, reply.number("total_lines", start + len(lines) - 1))


def listed(reply: Reply) -> list[str]:
    """The paths of files in a reply of `glob_files` or `list_files`."""
    files = [path for path in reply.items("files") if isinstance(path, str)]
    folder = reply.text("path").strip("/")
    prefix = "" if folder in {"", "."} else f"{folder}/"
    entries = [entry for entry in reply.items("entries") if isinstance(entry, dict)]
    return files + [f"{prefix}{entry.get('name')}" for entry in entries if entry.get("type") == "file"]
