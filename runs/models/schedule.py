"""A task that is given again and again by the clock, and what came of each time."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    def for_scope(self, scope: Scope) -> ScheduleQuerySet:
        """What `scope` may see, by the rule that holds for runs."""
        mine = models.Q(user=scope.user) | models.Q(project__in=Project.objects.filter(memberships__user=scope.user))
        visible = self if scope.sees_everything else self.filter(mine)
        return visible.filter(project=scope.project) if scope.project else visible


class Schedule(models.Model):
    """Whose task it is, when it is due, and what a run of it is started with.

    `next_at` is the next moment at which it is due; a schedule that is paused has none. Each run is started in the name of
    `user` and with the rights that they have then.
    """

    class Paused(models.TextChoices):
        NO = "", _("no")
        BY_HAND = "by_hand", _("by hand")
        NO_RIGHTS = "no_rights", _("its person may not start runs any more")
        OVER = "over", _("it is never due again")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "sch"), editable=False)
    name = models.CharField(_("name"), max_length=100)
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    input = models.TextField(_("task"))
    cron = models.CharField(_("cron expression"), max_length=100)
    time_zone = models.CharField(
        _("time zone"), max_length=60, blank=True, help_text=_("Empty: the organisation’s time zone")
    )
    role_id = models.CharField(_("role"), max_length=40, blank=True)
    group_id = models.CharField(_("group"), max_length=40, blank=True, default="", db_default="")
    session_key = models.CharField(_("session"), max_length=102)
    llm_config: models.JSONField[dict[str, Any]] = models.JSONField(_("model"), default=dict, blank=True)
    paused = models.CharField(_("paused"), max_length=10, choices=Paused.choices, default=Paused.NO, blank=True)
    next_at = models.DateTimeField(_("next due"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Schedule]] = ScheduleQuerySet.as_manager()

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        indexes = [
            # what is due now, looked for every minute
            models.Index(fields=["next_at"], condition=models.Q(next_at__isnull=False), name="runs_schedule_due"),
        ]
        constraints = [
            models.CheckConstraint(
                name="runs_schedule_paused_or_due",
                condition=models.Q(paused="", next_at__isnull=False) | (~models.Q(paused="") & models.Q(next_at=None)),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Firing(models.Model):
    """What came of one due time: one row each, whoever looks at the clock and however often.

    `missed` due times before this one had passed while nobody looked; they are made up for by this one.
    """

    class Outcome(models.TextChoices):
        STARTED = "started", _("started a run")
        SKIPPED = "skipped", _("skipped: the run before is still going")
        REFUSED = "refused", _("refused")

    schedule = models.ForeignKey(Schedule, models.CASCADE, related_name="firings")
    due_at = models.DateTimeField(_("due"))
    fired_at = models.DateTimeField(_("fired"), db_default=Now(), editable=False)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome.choices)
    missed = models.PositiveIntegerField(_("missed before"), default=0)
    run_id = models.CharField(max_length=40, blank=True)
    problem: models.JSONField[dict[str, str]] = models.JSONField(_("problem"), default=dict, blank=True)

    class Meta:
        verbose_name = _("firing")
        verbose_name_plural = _("firings")
        constraints = [
            # a due time fires once; also read for a schedule's latest firings
            models.UniqueConstraint(fields=["schedule", "due_at"], name="runs_firing_once"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.due_at:%Y-%m-%d %H:%M}"
