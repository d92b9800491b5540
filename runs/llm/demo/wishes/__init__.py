"""What a person may want of the demo model, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from runs.llm.demo.words.terms import Term


class Kind(Enum):
    """The form of a question about the files, which says what a good answer looks like."""

    HOW = "how"
    HOWTO = "howto"
    WHAT = "what"
    WHERE = "where"
    WHY = "why"
    NUMBER = "number"
    TIME = "time"


@dataclass(frozen=True)
class Greet:
    pass


@dataclass(frozen=True)
class Help:
    pass


@dataclass(frozen=True)
class Thanks:
    pass


@dataclass(frozen=True)
class Impossible:
    """Something that no tool of the demo model can do."""

    deed: str


@dataclass(frozen=True)
class ListFiles:
    folder: str = "."
    pattern: str = ""
    counting: bool = False


@dataclass(frozen=True)
class Overview:
    pass


@dataclass(frozen=True)
class ShowFile:
    path: str
    start: int = 1
    end: int | None = None


@dataclass(frozen=True)
class CountLines:
    path: str


@dataclass(frozen=True)
class Summarise:
    path: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outline:
    path: str


@dataclass(frozen=True)
class Search:
    phrase: str
    counting: bool = False


@dataclass(frozen=True)
class Replace:
    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Remember:
    """Something to be remembered, as it was said."""

    text: str


@dataclass(frozen=True)
class Literal:
    text: str


@dataclass(frozen=True)
class LastAnswer:
    pass


@dataclass(frozen=True)
class Ask:
    text: str
    kind: Kind
    terms: tuple[Term, ...]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Save:
    path: str
    what: Literal | LastAnswer | Summarise | Outline | ListFiles | Overview | Ask
    append: bool = False


Wish = (
    Greet | Help | Thanks | Impossible | ListFiles | Overview | ShowFile | CountLines | Summarise | Outline
    | Search | Replace | Save | Remember | Ask
)  # fmt: skip
