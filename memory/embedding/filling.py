"""Making the vectors that are missing, organisation by organisation, a batch each in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from memory.embedding import queue
from memory.embedding.moving import index_if_large, take_over_if_complete
from memory.embedding.ports import EmbeddingError, Vector, port
from memory.embedding.queue import Task
from memory.embedding.serving import settle_dimensions
from memory.models import EmbeddingModel
from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import organizations_where, take_turns

logger = logging.getLogger(__name__)

BATCH = 16


def fill_all(orgs: Sequence[Organization], *, is_stopping: Callable[[], bool] = lambda: False) -> int:
    """Make vectors until none is missing that is due; return how many were made.

    The organisations take turns, a batch each: a large upload of one doesn't keep the others waiting.
    """
    return take_turns(orgs, lambda _: fill_batch(), doing="making vectors", is_stopping=is_stopping)


def organizations_with_work() -> list[Organization]:
    """Return the organisations where a vector is due: one query, whatever their number."""
    return organizations_where(
        table="memory_embedding",
        condition="vector IS NULL AND available_at <= clock_timestamp() AND attempts < %(most)s",
        values={"most": queue.MOST_ATTEMPTS},
    )


def fill_batch(*, limit: int = BATCH) -> int:
    """Make up to `limit` vectors for each model of this organisation; return how many. Failures wait and come again."""
    made = 0
    for model in EmbeddingModel.objects.order_by("pk"):
        tasks = queue.claim(model, limit=limit)
        if tasks:
            made += _embed(model, tasks)
        index_if_large(model)
        take_over_if_complete(model)
    return made


def _embed(model: EmbeddingModel, tasks: list[Task]) -> int:
    """Embed a batch as a whole; what failed before is taken one by one, so that one bad text holds back no other."""
    if any(task.attempts > 1 for task in tasks):
        return sum(_embed_together(model, [task]) for task in tasks)
    return _embed_together(model, tasks)


def _embed_together(model: EmbeddingModel, tasks: list[Task]) -> int:
    try:
        vectors = _vectors(model, tasks)
    except EmbeddingError as error:
        logger.warning("vectors have to wait: %s", error)
        queue.put_off(tasks, error=str(error))
        return 0
    return queue.store(tasks, vectors)


def _vectors(model: EmbeddingModel, tasks: list[Task]) -> list[Vector]:
    """Return a vector for each task; equal texts are embedded once."""
    texts = {task.digest: task.text for task in tasks}
    made = dict(zip(texts, port(model.name).passages(list(texts.values())), strict=True))
    for vector in made.values():
        settle_dimensions(model, vector)
    return [made[task.digest] for task in tasks]
