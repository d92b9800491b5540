"""A query's vector: made by the process that asks, kept for who asks again."""

from __future__ import annotations

import logging
from functools import lru_cache

from memory.embedding.ports import EmbeddingError, Vector, port
from memory.embedding.serving import settle_dimensions
from memory.models import EmbeddingModel

logger = logging.getLogger(__name__)

#: Characters of a query that its vector is made of; the words read more.
READ = 2_000


def embed_query(text: str, *, model: EmbeddingModel) -> Vector | None:
    """Return the vector of `text`, or None where the model is away or disagrees: words find all the same."""
    try:
        vector = _vector(text[:READ], model.name)
        settle_dimensions(model, vector)
    except EmbeddingError as error:
        logger.warning("a search goes on without vectors: %s", error)
        return None
    return vector


@lru_cache(maxsize=1024)
def _vector(text: str, name: str) -> Vector:
    return port(name).query(text)
