"""Who can write a merge better than the rule: a registry that a higher room fills. What it writes is held to its sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openintern.tenancy.models import Project, User

_FIGURES = re.compile(r"\d[\d.,:]*\d|\d|https?://\S+")


@dataclass(frozen=True)
class Written:
    """A text, and the model's name."""

    text: str
    by: str


#: Takes the texts to be merged, the most trusted first, who pays, and for which project; None where nobody can write.
Writer = Callable[[Sequence[str], User, Project | None], Written | None]
_writers: list[Writer] = []


def register(writer: Writer) -> Writer:
    """Offer to write merges."""
    _writers.append(writer)
    return writer


def write(texts: Sequence[str], *, payer: User, project: Project | None) -> Written | None:
    """Return one text that says what all of them say, or None where the rule's has to do."""
    for writer in _writers:
        written = writer(texts, payer, project)
        if written is not None and is_faithful(written.text, texts):
            return written
    return None


def is_faithful(text: str, sources: Sequence[str]) -> bool:
    """Whether a text is no longer than its sources together, and has no figure and no address that isn't theirs.

    And none of theirs is missing: a number that two memories agree on has to be in what replaces them.
    """
    together = "\n".join(sources)
    figures = set(_FIGURES.findall(together))
    return bool(text.strip()) and len(text) <= len(together) and set(_FIGURES.findall(text)) == figures
