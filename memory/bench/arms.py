"""Rankings to hold the search against, computed apart from it: each arm alone, and the first implementation's formula."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log

import numpy as np
from django.db import connection
from numpy.typing import NDArray
from pgvector import Vector as PgVector

from memory import terms
from memory.embedding.ports import Vector

BEST = 10


class ByWords:
    """BM25 (k1 1.2, b 0.75) over the passages of one owner; a memory is worth its best passage."""

    def __init__(self, texts: Sequence[str], owners: Sequence[int]) -> None:
        counts = [terms.counted(text) for text in texts]
        lengths = [count.total() for count in counts]
        self._owners = owners
        self._longness = [0.25 + 0.75 * length / (sum(lengths) / len(lengths)) for length in lengths]
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for at, count in enumerate(counts):
            for term, times in count.items():
                self._postings[term].append((at, times))

    def best(self, query: str) -> list[int]:
        """The numbers of the best memories."""
        scores: Counter[int] = Counter()
        for term, asked in terms.counted(query).items():
            having = self._postings.get(term, [])
            rareness = log(1 + (len(self._owners) - len(having) + 0.5) / (len(having) + 0.5))
            for at, times in having:
                scores[at] += asked * rareness * times * 2.2 / (times + 1.2 * self._longness[at])  # type: ignore[assignment]
        return _best_memories(scores.most_common(), self._owners)


class ByVector:
    """Cosine over the passages of one owner; a memory is worth its best passage."""

    def __init__(self, vectors: Sequence[Vector], owners: Sequence[int]) -> None:
        self._vectors: NDArray[np.float32] = np.stack(vectors)
        self._owners = owners

    def best(self, query: Vector) -> list[int]:
        """The numbers of the best memories."""
        scores = self._vectors @ query
        return _best_memories([(int(at), float(scores[at])) for at in np.argsort(-scores)], self._owners)


def _best_memories(ranked: Sequence[tuple[int, float]], owners: Sequence[int]) -> list[int]:
    found: dict[int, None] = {}
    for at, _ in ranked:
        found.setdefault(owners[at])
        if len(found) == BEST:
            break
    return list(found)


class FirstFormula:
    """What the first implementation ranked by, as its behaviour is described; its index's misses are left out.

    Windows of 800 characters, a hash of 256 signs, every word of the query required, 0.6 and 0.4 of what each arm had
    divided by its best.
    """

    _WINDOW, _STEP, _DIMENSIONS = 800, 680, 256

    def __init__(self, texts: Sequence[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS first_chunk")
            cursor.execute("CREATE TEMPORARY TABLE first_chunk (memory int, vector vector(256), words tsvector)")
            for memory, text in enumerate(texts):
                for chunk in self._chunks(text):
                    cursor.execute(
                        "INSERT INTO first_chunk VALUES (%s, %s::vector, to_tsvector('simple', %s))",
                        [memory, self._vector(chunk), chunk],
                    )

    def best(self, query: str) -> list[int]:
        """The numbers of the best memories."""
        with connection.cursor() as cursor:
            cursor.execute(_FIRST, {"vector": self._vector(query), "query": query, "arm": 3 * BEST, "best": BEST})
            return [memory for (memory,) in cursor.fetchall()]

    def _chunks(self, text: str) -> list[str]:
        flat = " ".join(text.split())
        return [flat[at : at + self._WINDOW] for at in range(0, max(len(flat) - 120, 1), self._STEP)]

    def _vector(self, text: str) -> str:
        total = np.zeros(self._DIMENSIONS)
        for token in _first_tokens(text.lower()):
            total += [1 if _fnv(token, seed) % 2 else -1 for seed in (0, 1)] * (self._DIMENSIONS // 2)
        return str(PgVector(total / (np.linalg.norm(total) or 1)).to_text())


def _first_tokens(text: str) -> list[str]:
    han = re.findall(r"[\u4e00-\u9fff]", text)
    pairs = re.findall(r"(?=([\u4e00-\u9fff]{2}))", text)
    return [*han, *pairs, *re.findall(r"[a-z0-9]{2,}", text)]


def _fnv(token: str, seed: int) -> int:
    """FNV-1a begun with a seed. Its last bit is the parity of the bytes' last bits: so all seeds say the same or the opposite."""
    value = 2166136261 ^ seed
    for byte in token.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return value


_FIRST = """
    WITH by_vector AS (
        SELECT memory, 1 - (vector <=> %(vector)s::vector) AS score FROM first_chunk
        ORDER BY vector <=> %(vector)s::vector LIMIT %(arm)s
    ), by_words AS (
        SELECT memory, ts_rank_cd(words, plainto_tsquery('simple', %(query)s)) AS score FROM first_chunk
        WHERE words @@ plainto_tsquery('simple', %(query)s) ORDER BY score DESC LIMIT %(arm)s
    ), best AS (
        SELECT memory, max(score) / nullif(max(max(score)) OVER (), 0) AS vector, 0 AS words FROM by_vector GROUP BY memory
        UNION ALL
        SELECT memory, 0, max(score) / nullif(max(max(score)) OVER (), 0) FROM by_words GROUP BY memory
    )
    SELECT memory FROM best GROUP BY memory ORDER BY 0.6 * sum(vector) + 0.4 * sum(words) DESC, memory LIMIT %(best)s
"""
