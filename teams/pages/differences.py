"""How one text became another, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

How = Literal["same", "removed", "added"]

#: A word with the space behind it; of scripts that write without spaces, a character.
_WORD: Final = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff]|[^\W\u2e80-\u9fff\uf900-\ufaff]+\s*|\s+|.", re.DOTALL)
#: How long is searched for what two texts have in common: texts are written by agents too, and may be made to take long.
_MOST_STEPS: Final = 200_000


@dataclass(frozen=True)
class Piece:
    """A stretch of text, and what became of it."""

    how: How
    text: str


def differences(before: str, after: str) -> list[Piece]:
    """Return the pieces of both texts in their order: those that aren't `added` make `before`, those not `removed` `after`.

    Where the two have too little in common to be set against each other in time, one takes the other's place.
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    ahead = _alike(old, new)
    behind = _alike(old[ahead:][::-1], new[ahead:][::-1])
    changed = _changes(old[ahead : len(old) - behind], new[ahead : len(new) - behind])
    same_behind = [Piece("same", word) for word in old[len(old) - behind :]]
    return _joined([*[Piece("same", word) for word in old[:ahead]], *changed, *same_behind])


def _alike(old: Sequence[str], new: Sequence[str]) -> int:
    """With how many equal words both begin."""
    return next(
        (place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
        min(len(old), len(new)),
    )


def _changes(old: Sequence[str], new: Sequence[str]) -> list[Piece]:
    reached = _search(old, new)
    if reached is None:
        return [*[Piece("removed", word) for word in old], *[Piece("added", word) for word in new]]
    return _traced(old, new, reached)


def _search(old: Sequence[str], new: Sequence[str]) -> list[dict[int, int]] | None:
    """Search for the fewest words to remove and add (Myers 1986). None where that takes too long.

    Place `x` in `old` and `y` in `new` lie on the diagonal `x - y`. Returned is how far in `old` one gets on each of them
    with 0, 1, 2 … words removed or added, up to the number that leads to the end of both.
    """
    furthest, steps = {1: 0}, 0
    reached: list[dict[int, int]] = []
    for count in range(len(old) + len(new) + 1):
        for diagonal in range(-count, count + 1, 2):
            x = _next(furthest, diagonal, count)
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y, steps = x + 1, y + 1, steps + 1
            furthest[diagonal] = x
            if x >= len(old) and y >= len(new):
                return [*reached, dict(furthest)]
        steps += count
        if steps > _MOST_STEPS:
            return None
        reached.append(dict(furthest))
    return reached


def _next(furthest: dict[int, int], diagonal: int, count: int) -> int:
    """Where on a diagonal one comes to by the better of two ways: a word more added, or a word more removed."""
    if _adds(furthest, diagonal, count):
        return furthest[diagonal + 1]
    return furthest[diagonal - 1] + 1


def _adds(furthest: dict[int, int], diagonal: int, count: int) -> bool:
    return diagonal == -count or (diagonal != count and furthest[diagonal - 1] < furthest[diagonal + 1])


def _traced(old: Sequence[str], new: Sequence[str], reached: list[dict[int, int]]) -> list[Piece]:
    """Walk the way that was found back from its end."""
    x, y = len(old), len(new)
    pieces: list[Piece] = []
    for count in range(len(reached) - 1, 0, -1):
        adds = _adds(reached[count - 1], x - y, count)
        came_from = _next(reached[count - 1], x - y, count)
        while x > came_from:
            x, y = x - 1, y - 1
            pieces.append(Piece("same", old[x]))
        if adds:
            y -= 1
            pieces.append(Piece("added", new[y]))
        else:
            x -= 1
            pieces.append(Piece("removed", old[x]))
    pieces += [Piece("same", word) for word in old[:x][::-1]]
    return pieces[::-1]


def _joined(words: list[Piece]) -> list[Piece]:
    """Put words of one fate together; where some were removed and others added at one place, the removed ones first."""
    pieces: list[Piece] = []
    for is_same, run in groupby(words, key=lambda word: word.how == "same"):
        stretch = list(run)
        hows: tuple[How, ...] = ("same",) if is_same else ("removed", "added")
        said = [(how, "".join(word.text for word in stretch if word.how == how)) for how in hows]
        pieces += [Piece(how, text) for how, text in said if text]
    return pieces
