"""A sync as rows: how far it is, which lists it has still to go through, and what is known of each source.

All of it is in the database, so that a sync that was cut goes on where it was: at the page, at the document.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from connectors.models.connector import Connector
from memory.models import Memory
from openintern.ids import new_id
from openintern.tenancy.models import User
from openintern.tenancy.scope import Scope

LONGEST_TOKEN: Final = 100
COUNTS: Final = (
    "discovered", "processed", "skipped", "failed", "removed", "postponed", "docx_docs", "sheets", "bitable_tables",
    "chunk_count",
)  # fmt: skip


class SyncJobQuerySet(models.QuerySet["SyncJob"]):
    def for_scope(self, scope: Scope) -> SyncJobQuerySet:
        """Those of the connectors that `scope` may see."""
        everything: Any = Connector.objects
        connectors = everything.for_scope(scope)
        return self.filter(connector__in=connectors)

    def unfinished(self) -> SyncJobQuerySet:
        """Those that wait or are at work."""
        return self.filter(status__in=SyncJob.UNFINISHED)


class SyncJob(models.Model):
    """One sync of one connector; of a connector's, one at most is unfinished.

    `attempt` is the fencing number: who claimed an older one changes nothing. `tries` are claims without progress.
    """

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("by a person")
        POLL = "poll", _("by itself")

    class Status(models.TextChoices):
        PENDING = "pending", _("waiting")
        RUNNING = "running", _("under way")
        COMPLETED = "completed", _("completed")
        FAILED = "failed", _("failed")

    class Phase(models.TextChoices):
        LISTING = "listing", _("looking what there is")
        READING = "reading", _("reading what changed")
        REMOVING = "removing", _("removing what is gone")
        OVER = "over", _("over")

    UNFINISHED: ClassVar = (Status.PENDING, Status.RUNNING)

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "fsync"), editable=False)
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="jobs", db_index=False)
    trigger = models.CharField(_("started"), max_length=10, choices=Trigger.choices)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    phase = models.CharField(_("phase"), max_length=10, choices=Phase.choices, default=Phase.LISTING)
    asked_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("person"))
    attempt = models.PositiveIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now(), help_text="a claim moves it ahead: it is the lease")
    note = models.CharField(_("what it waits for"), max_length=300, blank=True, default="")
    error_code = models.CharField(_("error"), max_length=40, blank=True, default="")
    error_message = models.CharField(_("error"), max_length=500, blank=True, default="")

    discovered = models.PositiveIntegerField(default=0)
    processed = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    postponed = models.PositiveIntegerField(default=0, help_text="left to the next sync: this one has read enough")
    docx_docs = models.PositiveIntegerField(default=0)
    sheets = models.PositiveIntegerField(default=0)
    bitable_tables = models.PositiveIntegerField(default=0)
    chunk_count = models.PositiveIntegerField(default=0)

    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    created_at = models.DateTimeField(_("asked for"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[SyncJob]] = SyncJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("sync")
        verbose_name_plural = _("syncs")
        indexes = [
            # a connector's, newest first
            models.Index(fields=["connector", "-created_at", "-id"], name="connectors_syncjob_newest"),
            # which is next
            models.Index(
                fields=["available_at"], condition=Q(status__in=["pending", "running"]), name="connectors_syncjob_due"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["connector"], condition=Q(status__in=["pending", "running"]), name="connectors_syncjob_once"
            ),
            models.CheckConstraint(
                name="connectors_syncjob_state",
                condition=Q(status__in=["pending", "running"], ended_at__isnull=True, error_code="")
                | Q(status="completed", ended_at__isnull=False, error_code="")
                | (Q(status="failed", ended_at__isnull=False) & ~Q(error_code="")),
            ),
        ]

    def __str__(self) -> str:
        return self.pk

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status not in self.UNFINISHED

    @property
    def stats(self) -> dict[str, int]:
        """The counters by name."""
        return {name: getattr(self, name) for name in COUNTS}

    @property
    def settled(self) -> int:
        """How many of what was discovered are dealt with."""
        return self.processed + self.skipped + self.failed


class Listing(models.Model):
    """A list that a sync has to go through: how far it is. Once in a sync, so a cycle ends where it began.

    `seen_tokens` are marks of the pages that were asked for: a list that comes back to one goes no further.
    """

    class Kind(models.TextChoices):
        FOLDER = "folder", _("folder")
        SPACE = "space", _("wiki space")
        NODE = "node", _("wiki page")
        BELOW = "below", _("pages below a wiki page")
        FILE = "file", _("file")
        BITABLE = "bitable", _("table app")

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(SyncJob, models.CASCADE, related_name="listings", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    token = models.CharField(max_length=LONGEST_TOKEN)
    space = models.CharField(max_length=LONGEST_TOKEN, blank=True, default="", help_text="of the pages below one")
    title = models.CharField(max_length=300, blank=True, default="")
    url = models.CharField(max_length=500, blank=True, default="")
    page_token = models.CharField(max_length=1000, blank=True, default="")
    seen_tokens: models.JSONField[list[str]] = models.JSONField(default=list)
    is_done = models.BooleanField(default=False)
    problem = models.CharField(_("problem"), max_length=40, blank=True, default="")

    class Meta:
        verbose_name = _("list")
        verbose_name_plural = _("lists")
        constraints = [models.UniqueConstraint(fields=["job", "kind", "token"], name="connectors_listing_once")]

    def __str__(self) -> str:
        return f"{self.kind}:{self.token}"


class Source(models.Model):
    """A document, a sheet or a table of a connector: as a list last showed it, and as it was last read.

    `marker` is what lists tell of its version, `read_marker` what they told when it was read: where both are the same,
    it isn't even asked for. `revision` is the version that was read.
    """

    class Kind(models.TextChoices):
        DOCX = "docx", _("document")
        SHEET = "sheet", _("spreadsheet")
        BITABLE = "bitable", _("table")

    id = models.BigAutoField(primary_key=True)
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="sources", db_index=False)
    key = models.CharField(_("source key"), max_length=250)
    kind = models.CharField(_("type"), max_length=10, choices=Kind.choices)
    token = models.CharField(max_length=LONGEST_TOKEN)
    table = models.CharField(max_length=LONGEST_TOKEN, blank=True, default="")
    title = models.CharField(_("title"), max_length=300, blank=True, default="")
    url = models.CharField(_("address"), max_length=500, blank=True, default="")
    marker = models.CharField(max_length=100, blank=True, default="")
    read_marker = models.CharField(max_length=100, blank=True, default="")
    revision = models.CharField(_("revision"), max_length=100, blank=True, default="")
    problem = models.CharField(_("problem"), max_length=40, blank=True, default="")
    tries = models.PositiveSmallIntegerField(default=0)
    seen_in = models.ForeignKey(SyncJob, models.SET_NULL, null=True, related_name="+", db_index=False)
    settled_in = models.ForeignKey(SyncJob, models.SET_NULL, null=True, related_name="+", db_index=False)
    memory = models.ForeignKey(Memory, models.SET_NULL, null=True, related_name="+")
    passages = models.PositiveIntegerField(_("passages"), default=0)
    read_at = models.DateTimeField(_("read"), null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("source")
        verbose_name_plural = _("sources")
        indexes = [
            # what a sync has still to deal with, and what it hasn't seen
            models.Index(fields=["connector", "seen_in", "settled_in"], name="connectors_source_of_job"),
            # whether another connector still brings what this one loses
            models.Index(fields=["key"], name="connectors_source_key"),
        ]
        constraints = [models.UniqueConstraint(fields=["connector", "key"], name="connectors_source_once")]

    def __str__(self) -> str:
        return self.key
