"""What an answer rests on: sentences, each with the place in the files or in memory where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runs.llm.demo.text.quotes import shortened
from runs.llm.demo.text.reading import MEMORY

MOST = 3
_SOURCE = rf"(?:[^`\n]+:\d+(?:-\d+)?|{MEMORY}[^`\n]+)"
_CITED = re.compile(rf"\s*[(（]`(?P<source>{_SOURCE})`[)）]")
_PLACE = re.compile(rf"`(?P<source>{_SOURCE})`")
_BEFORE_TEXT = re.compile(r"^[\s.;。；—-]+")
_LINES = re.compile(r"^(?P<path>.+):(?P<start>\d+)(?:-(?P<end>\d+))?$")


@dataclass(frozen=True)
class Citation:
    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.text} (`{self.source}`)"

    @property
    def lines(self) -> tuple[str, int, int] | None:
        """The file, and its first and last line; None for what stands in memory."""
        found = _LINES.match(self.source)
        return (found["path"], int(found["start"]), int(found["end"] or found["start"])) if found else None


def citations(body: str) -> list[Citation]:
    """Return the sentences of an answer that name their source, each once, or else its first place with what is said of it."""
    found = list(_sentences(body)) or list(_places(body))
    return list({one.text: one for one in found if one.text}.values())[:MOST]


def all_citations(bodies: Iterable[str]) -> list[Citation]:
    """Return those of several answers, the ones that most of them have first."""
    each = [citations(body) for body in bodies]
    flat = [one for found in each for one in found]
    by_text = {one.text: one for one in reversed(flat)}
    texts = list(dict.fromkeys(one.text for one in flat))
    often = {text: sum(any(one.text == text for one in found) for found in each) for text in texts}
    return [by_text[text] for text in sorted(texts, key=lambda text: -often[text])][:MOST]


def gist(body: str) -> str:
    """Return the beginning of an answer as one line, without marks of its own."""
    return _line(body)


def _sentences(body: str) -> Iterator[Citation]:
    for paragraph in body.split("\n\n"):
        begun = 0
        for mark in _CITED.finditer(paragraph):
            text = paragraph[begun : mark.start()]
            begun = mark.end()
            if not text.lstrip().startswith((">", "```")):
                yield Citation(_line(text), mark["source"])


def _places(body: str) -> Iterator[Citation]:
    """An answer that begins with a place: it says behind it, or in the next paragraph, what stands there."""
    paragraphs = body.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if mark := _PLACE.search(paragraph):
            after = paragraph[mark.end() :].strip() or " ".join(paragraphs[number + 1 : number + 2])
            yield Citation(_line(after), mark["source"])
            return


def _line(text: str) -> str:
    lines = [line.lstrip("> -") for line in text.splitlines() if not line.startswith("```")]
    return shortened(_BEFORE_TEXT.sub("", " ".join(" ".join(lines).lstrip(":：)）").split())))
