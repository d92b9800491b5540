"""PDFs on their way into memory: a batch that somebody sent or an agent's call, and how far each file is."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope


class PdfJobQuerySet(models.QuerySet["PdfJob"]):
    def for_scope(self, scope: Scope) -> PdfJobQuerySet:
        """What `scope` may see: one's own, those of one's projects; an admin sees all."""
        mine = Q(user=scope.user) | Q(project__in=Project.objects.filter(memberships__user=scope.user))
        visible = self if scope.sees_everything else self.filter(mine)
        return visible.filter(project=scope.project) if scope.project else visible


class PdfJob(models.Model):
    """Who wants PDFs in memory, for whom, and how they are to be read. A job is as far as its files are."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "mju"), editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    mode = models.CharField(_("read by"), max_length=10, choices=[("v4", "MinerU"), ("local", _("here"))])
    options: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    created_at = models.DateTimeField(_("sent"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[PdfJob]] = PdfJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("PDF job")
        verbose_name_plural = _("PDF jobs")
        indexes = [
            # the list, newest first
            models.Index(fields=["-created_at", "-id"], name="connectors_pdfjob_newest"),
        ]

    def __str__(self) -> str:
        return self.id


class PdfFile(models.Model):
    """One PDF. `attempt` is the fencing number; `available_at` is when it may be claimed: a claim moves it ahead.

    `task_id` or `batch_id` is what the service calls it, once it has it. A file of an agent's call names the run and the
    call that wait for it.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("waiting")
        PROCESSING = "processing", _("being read")
        COMPLETED = "completed", _("in memory")
        FAILED = "failed", _("failed")

    UNFINISHED: ClassVar = (Status.PENDING, Status.PROCESSING)

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "pdf"), editable=False)
    job = models.ForeignKey(PdfJob, models.CASCADE, related_name="files", db_index=False)
    file_index = models.PositiveSmallIntegerField()
    filename = models.CharField(_("file"), max_length=300)
    url = models.CharField(_("address"), max_length=4000, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    data_id = models.CharField(max_length=130)
    source_key = models.CharField(max_length=300)
    title = models.CharField(_("title"), max_length=300, blank=True)
    metadata: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    run_id = models.CharField(max_length=40, blank=True)
    tool_call_id = models.CharField(max_length=100, blank=True)

    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    task_id = models.CharField(max_length=4000, blank=True)
    batch_id = models.CharField(max_length=4000, blank=True)
    polls = models.PositiveIntegerField(default=0, help_text="how often the service was asked how far it is")
    failures = models.PositiveSmallIntegerField(default=0, help_text="in a row, of one step")
    tries = models.PositiveSmallIntegerField(default=0, help_text="claims without progress")
    attempt = models.PositiveIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now())
    pages = models.PositiveIntegerField(null=True)
    pages_read = models.PositiveIntegerField(default=0)
    memory_id = models.UUIDField(null=True)
    chunk_count = models.PositiveIntegerField(default=0)
    content_hash = models.CharField(max_length=64, blank=True)
    replaced = models.BooleanField(default=False)
    error_code = models.CharField(_("error"), max_length=40, blank=True)
    error_message = models.CharField(_("error"), max_length=500, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    is_told = models.BooleanField(default=True, help_text="False: the call that waits for it is to be answered yet")

    class Meta:
        verbose_name = _("PDF")
        verbose_name_plural = _("PDFs")
        ordering = ["job", "file_index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "file_index"], name="connectors_pdffile_once"),
            # a call that is made again after a crash finds what it has begun
            models.UniqueConstraint(
                fields=["run_id", "tool_call_id"], condition=~Q(run_id=""), name="connectors_pdffile_of_call"
            ),
            models.CheckConstraint(
                name="connectors_pdffile_end_is_whole",
                condition=Q(status__in=["pending", "processing"], ended_at__isnull=True)
                | Q(status__in=["completed", "failed"], ended_at__isnull=False),
            ),
        ]
        indexes = [
            # which is next
            models.Index(
                fields=["available_at"],
                condition=Q(status__in=["pending", "processing"]),
                name="connectors_pdffile_due",
            ),
        ]

    def __str__(self) -> str:
        return self.filename

    @property
    def is_final(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status not in PdfFile.UNFINISHED
