"""A group's board: what its members and its people have put down for each other."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from memory.models import Tier, Trust
from openintern.ids import new_id
from openintern.tenancy.models import User
from teams.models.group import AgentInstance, Group

LONGEST_ENTRY: Final = 8_000  # characters


class BoardEntry(models.Model):
    """One thing on a group's board. It is remembered on the board's shelf (`memory`), replaced and forgotten with it.

    Its author is whoever wrote it: a person, or a member in a run; a person may speak as a role of the group.
    `version` rises with every change: who changes what has been changed meanwhile is told so.
    """

    class Kind(models.TextChoices):
        DECISION = "decision", _("decision")
        EVIDENCE = "evidence", _("evidence")
        PROPOSAL = "proposal", _("proposal")
        TODO = "todo", _("to do")
        NOTE = "note", _("note")

    class Status(models.TextChoices):
        OPEN = "open", _("open")
        DOING = "doing", _("being done")
        DONE = "done", _("done")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "entry"), editable=False)
    group = models.ForeignKey(Group, models.CASCADE, related_name="entries", db_index=False, verbose_name=_("group"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    text = models.TextField(_("text"))
    details: models.JSONField[dict[str, Any]] = models.JSONField(
        _("details"), default=dict, blank=True, help_text=_("title, rationale, source, refs, evidence, confidence")
    )
    tier = models.CharField(
        _("tier"), max_length=10, choices=Tier.choices, default=Tier.EPISODIC, help_text=_("core: pinned")
    )
    importance = models.FloatField(
        _("importance"), default=0.5, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    status = models.CharField(_("state"), max_length=10, choices=Status.choices, blank=True, default="")
    trust = models.CharField(_("trust"), max_length=10, choices=Trust.choices, default=Trust.STATED)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("person"))
    agent = models.ForeignKey(AgentInstance, models.SET_NULL, null=True, related_name="+", verbose_name=_("agent"))
    role_name = models.CharField(_("role"), max_length=100, blank=True, default="")
    run_id = models.CharField(_("run"), max_length=40, blank=True, default="")
    tool_call_id = models.CharField(max_length=100, blank=True, default="", help_text="by which it was written")
    part = models.PositiveSmallIntegerField(default=0, help_text="which of those that one call wrote")
    event_seq = models.PositiveIntegerField(_("event"), null=True, help_text="of the run, in which it was said")
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("board entry")
        verbose_name_plural = _("board entries")
        ordering: ClassVar[list[Any]] = ["-created_at", "-id"]
        indexes = [
            # a board, newest first, page by page
            models.Index(fields=["group", "-created_at", "-id"], name="teams_boardentry_newest"),
        ]
        constraints = [
            # what a call wrote is found again by it, and never written twice
            models.UniqueConstraint(
                fields=["run_id", "tool_call_id", "part"], condition=~models.Q(run_id=""), name="teams_boardentry_call"
            ),
            models.CheckConstraint(
                name="teams_boardentry_status",
                condition=models.Q(kind="todo", status__in=["open", "doing", "done"])
                | (~models.Q(kind="todo") & models.Q(status="")),
            ),
            models.CheckConstraint(
                name="teams_boardentry_importance", condition=models.Q(importance__gte=0.0, importance__lte=1.0)
            ),
        ]

    def __str__(self) -> str:
        return self.pk

    @property
    def is_pinned(self) -> bool:
        """Whether it is of the board's core: always before everybody's eyes."""
        return self.tier == Tier.CORE

    @property
    def source_key(self) -> str:
        """Under which its memory is found."""
        return f"entry:{self.pk}"


class BoardVersion(models.Model):
    """What an entry said before a change."""

    entry = models.ForeignKey(BoardEntry, models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField(_("version"))
    kind = models.CharField(_("kind"), max_length=10)
    text = models.TextField(_("text"))
    details: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    tier = models.CharField(_("tier"), max_length=10)
    importance = models.FloatField(_("importance"))
    status = models.CharField(_("state"), max_length=10, blank=True, default="")
    changed_by = models.CharField(_("changed by"), max_length=150, help_text="who put something else in its place")
    at = models.DateTimeField(_("until"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("version of a board entry")
        verbose_name_plural = _("versions of board entries")
        constraints = [models.UniqueConstraint(fields=["entry", "number"], name="teams_boardversion_number")]

    def __str__(self) -> str:
        return f"{self.entry_id} v{self.number}"
