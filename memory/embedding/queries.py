"""A query's vector: made by the process that asks, kept for who asks again."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from memory.embedding.ports import EmbeddingError, Vector, port
from memory.embedding.serving import settle_dimensions
from memory.models import EmbeddingModel

logger = logging.getLogger(__name__)

#: Characters of a query that its vector is made of; the words read more.
READ = 2_000
#: How long searches do without a model that has just failed, so that not each of them waits for it.
REST_SECONDS = 20.0

_rests_until: dict[str, float] = {}


def embed_query(text: str, *, model: EmbeddingModel) -> Vector | None:
    """Return the vector of `text`, or None where the model is away or disagrees: words find all the same."""
    if time.monotonic() < _rests_until.get(model.name, 0.0):
        return None
    try:
        vector = _vector(text[:READ], model.name)
        settle_dimensions(model, vector)
    except EmbeddingError as error:
        logger.warning("searches go on without vectors for %s s: %s", REST_SECONDS, error)
        _rests_until[model.name] = time.monotonic() + REST_SECONDS
        return None
    return vector


@lru_cache(maxsize=1024)
def _vector(text: str, name: str) -> Vector:
    return port(name).query(text)
