"""A tool call as a row."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from runs.models.run import Run


class Effect(models.Model):
    """One tool call: claimed before it runs, settled with its result. What lies between is in doubt after a crash.

    One that is awaited has begun, and somebody else brings its result (`runs.delivery`): what `awaits_kind` and
    `awaits_reference` name, until `awaits_until` at most.
    """

    class Status(models.TextChoices):
        PLANNED = "planned", _("not started")
        STARTED = "started", _("started")
        AWAITED = "awaited", _("awaited")
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
    awaits_kind = models.CharField(max_length=40, null=True)  # noqa: DJ001  null: it isn't, and wasn't, awaited
    awaits_reference = models.CharField(max_length=200, null=True)  # noqa: DJ001
    awaits_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("effect")
        verbose_name_plural = _("effects")
        constraints = [
            models.UniqueConstraint(fields=["run", "tool_call_id"], name="runs_effect_once"),
            models.CheckConstraint(
                name="runs_effect_awaits_something",
                condition=~models.Q(status="awaited")
                | models.Q(awaits_kind__isnull=False, awaits_reference__isnull=False, awaits_until__isnull=False),
            ),
        ]
        indexes = [
            # what is waited for, by what it is: the sweeps for what has ended meanwhile. Not by the status: a column that
            # an index is about makes each of its changes a change of every index
            models.Index(
                fields=["awaits_kind", "awaits_reference"],
                condition=models.Q(awaits_kind__isnull=False),
                name="runs_effect_awaited",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.tool_call_id}"
