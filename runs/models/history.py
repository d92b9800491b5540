"""What happened in a run: its events, the marks between its steps, and what is being said just now."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from runs.events import MESSAGES
from runs.models.run import Run


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
        indexes = [
            # one event by its `id`, in the admin: a B-tree of it would be a tenth of what a step writes (see migration)
            BrinIndex(fields=["id"], name="runs_event_id", autosummarize=True, pages_per_range=16),
        ]

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
            "group_id": run.group_id or None,
            "message_type": MESSAGES.get(self.type),
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


class LiveText(models.Model):
    """What the model has said so far in the step that is running: an unlogged table, gone with a crash of the database."""

    run = models.OneToOneField(Run, models.CASCADE, primary_key=True, related_name="live_text")
    attempt = models.PositiveIntegerField()
    step = models.PositiveIntegerField()
    agent_id = models.CharField(max_length=100, default="")
    text = models.TextField(default="")

    class Meta:
        verbose_name = _("live text")
        verbose_name_plural = _("live texts")

    def __str__(self) -> str:
        return f"{self.run_id} step {self.step}"
