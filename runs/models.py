"""What an organisation's runs are made of. Every table here lives in the organisation's own schema.

| row        | written by                                  | in which transaction |
|------------|---------------------------------------------|----------------------|
| Run        | lifecycle (create, cancel), log.append      | with its events      |
| Event      | log.append alone                            | with the run's `last_seq` |
| Effect     | engine                                      | claimed with the model's answer, settled with the result |
| Checkpoint | engine                                      | with `step.completed` |
| LiveText   | live text of the step that is running       | its own; unlogged, may be lost |
| LedgerEntry | budgets                                    | reserved in its own, settled with the model's answer |
| Budget     | budgets (set, remove)                       | with its audit row   |
"""

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

SESSION_KEY_PATTERN = r"s_[a-zA-Z0-9_]{1,100}"
DEFAULT_SESSION_KEY = "s_default"
DEFAULT_AGENT = "main"


class SessionQuerySet(models.QuerySet["Session"]):
    def of_person(self, scope: Scope) -> SessionQuerySet:
        """The person's own conversations, those of the project in scope or those of none."""
        return self.filter(user=scope.user, project=scope.project)


class Session(models.Model):
    """A conversation: its runs are serial, and each sees what the ones before it said."""

    key = models.CharField(max_length=102)
    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+")
    title = models.CharField(_("title"), max_length=200, blank=True)
    is_archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    active_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Session]] = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            models.UniqueConstraint(fields=["user", "project", "key"], nulls_distinct=False, name="runs_session_key")
        ]
        # the sidebar: one person's conversations, the latest first
        indexes = [models.Index(fields=["user", "-active_at"], name="runs_session_recent")]

    def __str__(self) -> str:
        return self.title or self.key


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
    is not the run's can write nothing. `config` is what the run began with and never changes.
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
        Status.WAITING: (Status.RUNNING,),
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
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    input = models.TextField(_("task"))
    output = models.TextField(_("answer"), null=True)  # noqa: DJ001  null: there is none
    error: models.JSONField[dict[str, Any] | None] = models.JSONField(_("error"), null=True)
    config: models.JSONField[dict[str, Any]] = models.JSONField(_("configuration"), default=dict)
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


class Event(models.Model):
    """One thing that happened in a run: `seq` is 1..n without a hole. Written by `runs.log.append` alone."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    type = models.CharField(max_length=40)
    step = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()
    agent_id = models.CharField(max_length=100)
    span_id = models.CharField(max_length=20)
    payload: models.JSONField[dict[str, Any]] = models.JSONField()
    contains_secrets = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="runs_event_seq")]

    def __str__(self) -> str:
        return f"{self.run_id}#{self.seq} {self.type}"

    def envelope(self, run: Run) -> dict[str, Any]:
        """Return the public form of the event. `run` is its run with its session, which the caller has anyway."""
        return {
            "v": 1,
            "seq": self.seq,
            "ts": self.at.isoformat().replace("+00:00", "Z"),
            "session_key": run.session.key,
            "run_id": self.run_id,
            "agent_id": self.agent_id,
            "step_id": f"step_{self.step:04d}",
            "span_id": self.span_id,
            "parent_span_id": run.root_span_id,
            "attempt": self.attempt,
            "redaction": {"contains_secrets": self.contains_secrets},
            "type": self.type,
            "payload": self.payload,
        }


class Checkpoint(models.Model):
    """That a step is finished. Its delta – the messages it added – is the run's events up to `seq`, kept once, there."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="checkpoints", db_index=False)
    step = models.PositiveIntegerField()
    seq = models.PositiveIntegerField(help_text="the step.completed event; the step's delta ends here")
    state: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("checkpoint")
        verbose_name_plural = _("checkpoints")
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="runs_checkpoint_step")]

    def __str__(self) -> str:
        return f"{self.run_id} step {self.step}"


class Effect(models.Model):
    """One tool call: claimed before it runs, settled with its result. What lies between is in doubt after a crash."""

    class Status(models.TextChoices):
        PLANNED = "planned", _("not started")
        STARTED = "started", _("started")
        DONE = "done", _("done")
        IN_DOUBT = "in_doubt", _("in doubt")

    class Recovery(models.TextChoices):
        """What to do with a call that was started and whose outcome isn't known."""

        PURE = "pure", _("run again")
        KEYED = "keyed", _("run again under the same key")
        CHECKABLE = "checkable", _("look whether it landed")
        UNSURE = "unsure", _("ask a person")

    run = models.ForeignKey(Run, models.CASCADE, related_name="effects", db_index=False)
    tool_call_id = models.CharField(max_length=100)
    step = models.PositiveIntegerField()
    ordinal = models.PositiveSmallIntegerField()
    tool = models.CharField(max_length=100)
    args_hash = models.CharField(max_length=64)
    recovery = models.CharField(max_length=10, choices=Recovery.choices)
    status = models.CharField(max_length=10, choices=Status.choices)
    attempt = models.PositiveIntegerField()
    rule = models.CharField(max_length=60, help_text="the policy rule that let it pass")

    class Meta:
        verbose_name = _("effect")
        verbose_name_plural = _("effects")
        constraints = [models.UniqueConstraint(fields=["run", "tool_call_id"], name="runs_effect_once")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.tool_call_id}"


class LiveText(models.Model):
    """What the model has said so far in the step that is running: an unlogged table, gone with a crash of the database."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="live_text")
    attempt = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    text = models.TextField(default="")

    class Meta:
        verbose_name = _("live text")
        verbose_name_plural = _("live texts")

    def __str__(self) -> str:
        return f"{self.run_id} step {self.step}"


class Budget(models.Model):
    """The most that an organisation, one of its projects or one of its people may spend in a period."""

    class Kind(models.TextChoices):
        ORGANIZATION = "organization", _("organisation")
        PROJECT = "project", _("project")
        USER = "user", _("person")

    class Period(models.TextChoices):
        """Days and months begin at midnight UTC."""

        DAY = "day", _("day")
        MONTH = "month", _("month")
        TOTAL = "total", _("for ever")

    kind = models.CharField(_("for"), max_length=12, choices=Kind.choices, default=Kind.ORGANIZATION)
    project = models.ForeignKey(
        Project, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("project")
    )
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("person"))
    period = models.CharField(_("period"), max_length=5, choices=Period.choices, default=Period.MONTH)
    limit_usd = models.DecimalField(_("limit (USD)"), max_digits=14, decimal_places=6, null=True, blank=True)
    limit_tokens = models.PositiveBigIntegerField(_("limit (tokens)"), null=True, blank=True)

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "project", "user", "period"],
                nulls_distinct=False,
                name="runs_budget_once",
                violation_error_message=_("There is such a budget already."),
            ),
            models.CheckConstraint(
                name="runs_budget_names_its_owner",
                condition=models.Q(kind="organization", project=None, user=None)
                | models.Q(kind="project", project__isnull=False, user=None)
                | models.Q(kind="user", project=None, user__isnull=False),
                violation_error_message=_("Name the project or the person that the budget is for, and nothing else."),
            ),
            models.CheckConstraint(
                name="runs_budget_limits_something",
                condition=models.Q(limit_usd__gte=0) | models.Q(limit_usd=None, limit_tokens__isnull=False),
                violation_error_message=_("Set a limit in USD (0 or more), in tokens, or both."),
            ),
        ]

    def __str__(self) -> str:
        owner = {self.Kind.PROJECT: self.project, self.Kind.USER: self.user}.get(self.Kind(self.kind), "")
        return " ".join(str(part) for part in (self.get_kind_display(), owner, self.get_period_display()) if part)


class LedgerEntry(models.Model):
    """One booking: a sum of rows is a balance. Rows are only ever added, and outlive the run that they are about.

    `at` is the time of the call's reservation in all rows of that call, so that a call falls in one day as a whole.
    """

    class Kind(models.TextChoices):
        RESERVE = "reserve", _("reserved")
        RELEASE = "release", _("released")
        SETTLE = "settle", _("spent")

    kind = models.CharField(_("kind"), max_length=7, choices=Kind.choices)
    run = models.ForeignKey(Run, models.DO_NOTHING, db_constraint=False, related_name="ledger", verbose_name=_("run"))
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"), db_index=False)
    project = models.ForeignKey(
        Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"), db_index=False
    )
    amount = models.DecimalField(_("USD"), max_digits=20, decimal_places=10)
    tokens = models.BigIntegerField(_("tokens"))
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")
        indexes = [
            # the balance of an organisation, of a project, of a person since a moment, from the index alone
            models.Index(fields=["at"], include=["kind", "amount", "tokens"], name="runs_ledger_all"),
            models.Index(
                fields=["project", "at"],
                include=["kind", "amount", "tokens"],
                condition=models.Q(project__isnull=False),
                name="runs_ledger_of_project",
            ),
            models.Index(fields=["user", "at"], include=["kind", "amount", "tokens"], name="runs_ledger_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.kind} {self.amount} USD, {self.tokens} tokens"


class UploadQuerySet(models.QuerySet["Upload"]):
    def for_scope(self, scope: Scope) -> UploadQuerySet:
        """What `scope` may open: one's own uploads; an admin may open all."""
        return self if scope.sees_everything else self.of_person(scope)

    def of_person(self, scope: Scope) -> UploadQuerySet:
        """One's own uploads, whatever the project: those that one may give to a run."""
        return self.filter(user=scope.user)


class Upload(models.Model):
    """A file that a person sent. Its bytes are a file of the data directory, named after `id` alone."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "upl"), editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"))
    original_name = models.CharField(_("name"), max_length=200)
    mime_type = models.CharField(_("type"), max_length=100, help_text="found out from the content")
    size = models.PositiveIntegerField(_("bytes"))
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Upload]] = UploadQuerySet.as_manager()

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")

    def __str__(self) -> str:
        return self.original_name
