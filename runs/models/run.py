"""The run: its states, what it is pinned to, what it has used."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id, span_id
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope
from runs.models.session import Session

DEFAULT_AGENT = "main"


class RunQuerySet(models.QuerySet["Run"]):
    def for_scope(self, scope: Scope) -> RunQuerySet:
        """What `scope` may see: one's own runs and those of one's projects; an admin sees all.

        A project in the scope narrows it to that project's runs.
        """
        mine = models.Q(user=scope.user) | models.Q(project__in=Project.objects.filter(memberships__user=scope.user))
        visible = self if scope.sees_everything else self.filter(mine)
        return visible.filter(project=scope.project) if scope.project else visible

    def unfinished(self) -> RunQuerySet:
        """The runs that have not ended."""
        return self.filter(status__in=Run.Status.unfinished())


class Run(models.Model):
    """One task given to an agent, from its acceptance to its one end.

    `attempt` is the fencing token: it rises with each claim and each cancel, and a writer whose number
    is not the run's can write nothing. `config` is what the run began with; it changes only where a person has it
    continue with the current version (`runs.lifecycle.repin_run`).
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        RUNNING = "running", _("running")
        WAITING = "waiting", _("waiting")
        COMPLETED = "completed", _("completed")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

        @classmethod
        def unfinished(cls) -> tuple[Run.Status, ...]:
            return (cls.PENDING, cls.RUNNING, cls.WAITING)

        @property
        def is_final(self) -> bool:
            return self not in Run.Status.unfinished()

    #: From which states a run may pass into which. `log.append` holds every change against it.
    TRANSITIONS: ClassVar[dict[str, tuple[str, ...]]] = {
        Status.RUNNING: (Status.PENDING, Status.RUNNING, Status.WAITING),
        Status.WAITING: (Status.RUNNING, Status.WAITING),
        Status.PENDING: (Status.RUNNING, Status.WAITING),
        Status.COMPLETED: (Status.RUNNING,),
        Status.FAILED: (Status.PENDING, Status.RUNNING, Status.WAITING),
        Status.CANCELLED: (Status.PENDING, Status.RUNNING, Status.WAITING),
    }

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "run"), editable=False)
    session = models.ForeignKey(Session, models.PROTECT, related_name="runs")
    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+")
    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    agent_id = models.CharField(_("agent"), max_length=100, default=DEFAULT_AGENT)
    group_id = models.CharField(
        _("group"),
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="the team whose run it is, or is part of",
    )
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    input = models.TextField(_("task"))
    output = models.TextField(_("answer"), null=True)  # noqa: DJ001  null: there is none
    error: models.JSONField[dict[str, Any] | None] = models.JSONField(_("error"), null=True)
    config: models.JSONField[dict[str, Any]] = models.JSONField(_("configuration"), default=dict)
    taint: models.JSONField[dict[str, Any] | None] = models.JSONField(
        _("text from outside"), null=True, help_text="where the first text from outside in its context came from"
    )
    in_conversation = models.BooleanField(
        default=True, help_text="False: rolled back; later runs of the session don't hear of it"
    )
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)  # noqa: DJ001  null: none was given
    request_digest = models.CharField(max_length=64, blank=True, editable=False)
    root_span_id = models.CharField(max_length=20, default=span_id, editable=False)

    attempt = models.PositiveIntegerField(_("attempt"), default=0)
    last_seq = models.PositiveIntegerField(default=0)
    step = models.PositiveIntegerField(_("step"), default=0)
    tool_call_count = models.PositiveIntegerField(_("tool calls"), default=0)
    prompt_tokens = models.PositiveBigIntegerField(_("prompt tokens"), default=0)
    completion_tokens = models.PositiveBigIntegerField(_("completion tokens"), default=0)
    cost = models.DecimalField(_("cost (USD)"), max_digits=14, decimal_places=6, default=Decimal(0))
    active_ms = models.PositiveBigIntegerField(
        default=0, help_text="time spent working, waiting excluded; the run's timeout counts this"
    )

    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects: ClassVar[models.Manager[Run]] = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        indexes = [
            # the list of everything, newest first, page by page
            models.Index(fields=["-created_at", "-id"], name="runs_run_newest"),
            # one person's runs
            models.Index(fields=["user", "-created_at"], name="runs_run_of_user"),
            # a conversation, and what a new run in it remembers
            models.Index(fields=["session", "-created_at"], name="runs_run_of_session"),
            # a team's runs
            models.Index(
                fields=["group_id", "-created_at"], condition=~models.Q(group_id=""), name="runs_run_of_group"
            ),
            # what is going on now
            models.Index(
                fields=["status"],
                condition=models.Q(status__in=["pending", "running", "waiting"]),
                name="runs_run_unfinished",
            ),
            # what ended within the last hour (metrics), and what is old enough to go (retention)
            models.Index(fields=["ended_at"], condition=models.Q(ended_at__isnull=False), name="runs_run_ended"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="runs_run_idempotency"),
            models.CheckConstraint(
                name="runs_run_end_is_whole",
                condition=models.Q(status__in=["completed", "failed", "cancelled"], ended_at__isnull=False)
                | models.Q(status__in=["pending", "running", "waiting"], ended_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def is_final(self) -> bool:
        """Whether the run has ended: nothing is written to it any more."""
        return Run.Status(self.status).is_final

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from start to end; None while it has not ended or if it never started."""
        if self.started_at is None or self.ended_at is None:
            return None
        return round((self.ended_at - self.started_at).total_seconds() * 1000)
