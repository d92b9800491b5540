"""Vectors of passages, and the models they were made with."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from pgvector.django import HalfVectorField

from memory.models.passage import Passage
from memory.models.shelf import Shelf


class EmbeddingModel(models.Model):
    """A model that this organisation's passages are embedded with.

    One serves; while the organisation moves to another, that one is filled beside it, and takes over when complete.
    """

    class State(models.TextChoices):
        SERVING = "serving", _("serving")
        FILLING = "filling", _("being filled")

    name = models.CharField(_("name"), max_length=200, unique=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    dimensions = models.PositiveIntegerField(_("dimensions"), null=True, help_text="known from the first vector on")
    is_indexed = models.BooleanField(default=False, help_text="whether it has an HNSW index")
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("embedding model")
        verbose_name_plural = _("embedding models")
        # one of each state at most
        constraints: ClassVar = [models.UniqueConstraint(fields=["state"], name="memory_embeddingmodel_state")]

    def __str__(self) -> str:
        return self.name


class Embedding(models.Model):
    """A passage's vector by one model; without `vector` it is the embedder's to do, from `available_at` on."""

    passage = models.ForeignKey(Passage, models.CASCADE, related_name="embeddings", db_index=False)
    model = models.ForeignKey(EmbeddingModel, models.CASCADE, related_name="+", db_index=False)
    shelf = models.ForeignKey(Shelf, models.PROTECT, related_name="+", db_index=False)
    digest = models.UUIDField(help_text="of the text; equal texts are embedded once")
    vector = HalfVectorField(null=True, help_text="of length 1")
    attempts = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now())
    error = models.CharField(_("error"), max_length=300, blank=True, default="")

    class Meta:
        verbose_name = _("embedding")
        verbose_name_plural = _("embeddings")
        constraints = [models.UniqueConstraint(fields=["passage", "model"], name="memory_embedding_once")]
        indexes = [
            # the vector arm: the shelves in scope, exactly
            models.Index(
                fields=["model", "shelf"], condition=Q(vector__isnull=False), name="memory_embedding_of_shelf"
            ),
            # how much a search in these shelves is missing
            models.Index(fields=["model", "shelf"], condition=Q(vector__isnull=True), name="memory_embedding_lacking"),
            # what the embedder has to do, the longest waiting first
            models.Index(
                fields=["model", "available_at"], condition=Q(vector__isnull=True), name="memory_embedding_missing"
            ),
            # a text that was embedded before
            models.Index(fields=["digest"], condition=Q(vector__isnull=False), name="memory_embedding_known"),
        ]

    def __str__(self) -> str:
        return f"{self.passage_id} by {self.model_id}"
