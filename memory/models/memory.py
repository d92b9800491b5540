"""One thing remembered, from where, and what became of it."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from memory.models.shelf import Shelf
from memory.owners import Owner
from openintern.tenancy.models import User
from openintern.tenancy.scope import Scope


class Trust(models.TextChoices):
    """Who vouches for it."""

    STATED = "stated", _("stated by a person")
    DERIVED = "derived", _("concluded by an agent")
    OUTSIDE = "outside", _("from outside")


class MemoryQuerySet(models.QuerySet["Memory"]):
    def for_scope(self, scope: Scope, *, board: str = "", agent: str = "") -> MemoryQuerySet:
        """What `scope` may see, forgotten ones included (see `Shelf.objects.for_scope`)."""
        shelves: Any = Shelf.objects
        return self.filter(shelf__in=shelves.for_scope(scope, board=board, agent=agent))

    def of(self, owner: Owner) -> MemoryQuerySet:
        """All of one owner's, in whatever tier."""
        return self.filter(**{f"shelf__{name}": value for name, value in owner.columns().items()})

    def current(self) -> MemoryQuerySet:
        """Those that are neither forgotten nor superseded: what a search can find."""
        return self.filter(forgotten_at__isnull=True, superseded_at__isnull=True)

    @transaction.atomic
    def note_recalled(self, *, at: datetime) -> None:
        """Note that an agent was reminded of these, or read them. Once a day is enough, and nobody is waited for."""
        due = self.exclude(recalled_at__gt=at - timedelta(days=1)).order_by("pk")
        ids = list(due.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
        if ids:
            self.model.objects.filter(pk__in=ids).update(recalled_at=at)


class Memory(models.Model):
    """One thing remembered. Its passages are what is searched; forgotten and superseded ones have left the index."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    shelf = models.ForeignKey(Shelf, models.PROTECT, related_name="memories", db_index=False)
    text = models.TextField(_("text"))
    metadata: models.JSONField[dict[str, Any]] = models.JSONField(_("metadata"), default=dict, blank=True)
    importance = models.FloatField(
        _("importance"), default=0.5, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    trust = models.CharField(_("trust"), max_length=10, choices=Trust.choices, default=Trust.STATED)
    contains_secrets = models.BooleanField(
        _("had secrets"), default=False, help_text="a secret stood in what was to be stored, and was left out"
    )
    likeness = models.UUIDField(editable=False, help_text="the same for texts that say the same in the same words")

    author = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("person"))
    run_id = models.CharField(_("run"), max_length=40, blank=True, default="")
    event_seq = models.PositiveIntegerField(_("event"), null=True)
    document = models.CharField(_("document"), max_length=300, blank=True, default="")
    source_type = models.CharField(_("source type"), max_length=50, blank=True, default="")
    source_key = models.CharField(_("source key"), max_length=300, blank=True, default="")
    thread = models.CharField(
        _("conversation"), max_length=200, blank=True, default="", help_text="neighbours in it lift each other"
    )

    supersedes = models.ForeignKey("self", models.SET_NULL, null=True, related_name="successors")
    derived_from: models.ManyToManyField[Memory, Any] = models.ManyToManyField(
        "self", symmetrical=False, related_name="derivations", blank=True
    )
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)
    recalled_at = models.DateTimeField(
        _("last recalled"), null=True, editable=False, help_text="when an agent was last reminded of it, to the day"
    )
    superseded_at = models.DateTimeField(_("superseded"), null=True, editable=False)
    forgotten_at = models.DateTimeField(_("forgotten"), null=True, editable=False)
    forgotten_with = models.UUIDField(null=True, editable=False, help_text="one forgetting, restored as one")

    objects: ClassVar[models.Manager[Memory]] = MemoryQuerySet.as_manager()

    class Meta:
        verbose_name = _("memory")
        verbose_name_plural = _("memories")
        ordering = ["-created_at", "-id"]
        indexes = [
            # a shelf's, newest first, page by page
            models.Index(fields=["shelf", "-created_at", "-id"], name="memory_memory_newest"),
            # has this shelf got it already? (near-duplicate guard)
            models.Index(fields=["shelf", "likeness"], name="memory_memory_likeness"),
            # what came of a run, a document: forgetting, quotas and pages
            models.Index(fields=["run_id", "created_at"], condition=~Q(run_id=""), name="memory_memory_of_run"),
            models.Index(fields=["document"], condition=~Q(document=""), name="memory_memory_of_document"),
            # which turn of a conversation was the last
            models.Index(
                fields=["shelf", "thread", "-created_at"], condition=~Q(thread=""), name="memory_memory_thread"
            ),
            # what is old enough to be purged, and what a forgetting took with it
            models.Index(
                fields=["forgotten_at"], condition=Q(forgotten_at__isnull=False), name="memory_memory_forgotten"
            ),
        ]
        constraints = [
            # replace by source
            models.UniqueConstraint(
                fields=["shelf", "source_key"],
                condition=~Q(source_key="") & Q(forgotten_at__isnull=True, superseded_at__isnull=True),
                name="memory_memory_source",
            ),
            models.CheckConstraint(
                name="memory_memory_importance", condition=Q(importance__gte=0.0, importance__lte=1.0)
            ),
            models.CheckConstraint(
                name="memory_memory_forgotten_whole",
                condition=Q(forgotten_at__isnull=True, forgotten_with__isnull=True)
                | Q(forgotten_at__isnull=False, forgotten_with__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def tier(self) -> str:
        """`core`, `episodic` or `archival`."""
        return self.shelf.tier

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return self.shelf.owner

    @property
    def is_current(self) -> bool:
        """Whether a search can find it."""
        return self.forgotten_at is None and self.superseded_at is None
