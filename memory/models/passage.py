"""The pieces of memories that are searched, and what is known of their words."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _
from pgvector.django import SparseVectorField

from memory.models.memory import Memory
from memory.models.shelf import Shelf


class Passage(models.Model):
    """A piece of a memory's text, `text[start:end]`. Its text never changes: a changed memory gets new passages."""

    id = models.BigAutoField(primary_key=True)
    memory = models.ForeignKey(Memory, models.CASCADE, related_name="passages", db_index=False)
    ordinal = models.PositiveIntegerField()
    text = models.TextField(_("text"))
    start = models.PositiveIntegerField(help_text="offset of the first character in the memory's text")
    end = models.PositiveIntegerField(help_text="offset behind the last one")
    heading = models.CharField(_("heading"), max_length=300, blank=True, default="")
    page = models.PositiveIntegerField(_("page"), null=True)
    anchor = models.CharField(
        _("anchor"), max_length=100, blank=True, default="", db_default="", help_text="what its source calls it"
    )
    previous = models.ForeignKey(
        "self", models.SET_NULL, null=True, related_name="following", help_text="just before it, also in a conversation"
    )

    class Meta:
        verbose_name = _("passage")
        verbose_name_plural = _("passages")
        constraints = [models.UniqueConstraint(fields=["memory", "ordinal"], name="memory_passage_order")]

    def __str__(self) -> str:
        return f"{self.memory_id}/{self.ordinal}"


class Words(models.Model):
    """The words of a passage, as the word arm reads them: for each term how much its count weighs.

    Narrow on purpose: an exact search reads this table, and nothing else, for every passage in scope.
    """

    passage = models.OneToOneField(Passage, models.CASCADE, primary_key=True, related_name="index_words")
    shelf = models.ForeignKey(Shelf, models.PROTECT, related_name="+", db_index=False)
    length = models.PositiveIntegerField(help_text="how many words it has")
    terms = SparseVectorField(help_text="by term's number: its count, saturated as in BM25")

    class Meta:
        verbose_name = _("words of a passage")
        verbose_name_plural = _("words of passages")
        # the word arm: all passages of the shelves in scope
        indexes: ClassVar = [models.Index(fields=["shelf"], name="memory_words_of_shelf")]

    def __str__(self) -> str:
        return str(self.passage_id)


class Term(models.Model):
    """In how many of a shelf's passages a term stands: what makes a rare word count for more."""

    pk = models.CompositePrimaryKey("term", "shelf_id")
    term = models.PositiveIntegerField()
    shelf = models.ForeignKey(Shelf, models.CASCADE, related_name="+", db_index=False)
    passages = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("term")
        verbose_name_plural = _("terms")

    def __str__(self) -> str:
        return str(self.term)
