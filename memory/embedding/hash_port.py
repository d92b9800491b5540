"""A model for tests: no dependency, no weights, the same vector for the same words on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from memory import terms
from memory.embedding.ports import Vector, unit

DIMENSIONS = 256


class Hash:
    """Adds up a pseudo-random direction for each term: texts that share words are near each other."""

    def query(self, text: str) -> Vector:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return [unit(sum((_direction(term) for term in terms.terms(text)), _direction(""))) for text in texts]


def _direction(term: str) -> Vector:
    bits = np.unpackbits(np.frombuffer(blake2b(term.encode(), digest_size=DIMENSIONS // 8).digest(), dtype=np.uint8))
    return bits.astype(np.float32) * 2 - 1
