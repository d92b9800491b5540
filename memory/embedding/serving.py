"""Which model an organisation's vectors are made with: the one that serves, and the one that will."""

from __future__ import annotations

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from memory.embedding.ports import EmbeddingError, Vector
from memory.models import EmbeddingModel

SERVING, FILLING = EmbeddingModel.State.SERVING, EmbeddingModel.State.FILLING


def serving_model() -> EmbeddingModel:
    """Return the model that searches use: the configured one, for an organisation that has none yet."""
    serving = "SELECT * FROM memory_embeddingmodel WHERE state = %s"  # every search asks: composing it takes longer
    return next(iter(EmbeddingModel.objects.raw(serving, [SERVING])), None) or _begin(
        settings.CONFIG.memory.embedding_model
    )


def models_to_fill() -> list[EmbeddingModel]:
    """Return the models that a new passage needs a vector of; none of them goes before this transaction ends."""
    kept = "SELECT * FROM memory_embeddingmodel ORDER BY id FOR KEY SHARE"  # what `moving` locks before it decides
    return list(EmbeddingModel.objects.raw(kept)) or [serving_model()]


def _begin(name: str) -> EmbeddingModel:
    try:
        with transaction.atomic():
            return EmbeddingModel.objects.create(name=name, state=SERVING)
    except IntegrityError:  # somebody else's first write was quicker
        return EmbeddingModel.objects.get(state=SERVING)


def settle_dimensions(model: EmbeddingModel, vector: Vector) -> None:
    """Hold a vector's dimension against the model's, which the first vector settles.

    Raises EmbeddingError where it is another: such vectors can't be compared.
    """
    if model.dimensions is None:
        EmbeddingModel.objects.filter(Q(dimensions__isnull=True), pk=model.pk).update(dimensions=len(vector))
        model.refresh_from_db(fields=["dimensions"])
    if model.dimensions != len(vector):
        raise EmbeddingError(
            f"{model.name} gave a vector of {len(vector)} dimensions where this organisation's have {model.dimensions}: "
            "the model behind that name has changed; move with `manage.py reembed --model`"
        )
