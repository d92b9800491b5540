"""What people say to a connector's bot at Feishu, who they are here, and what came of it."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from connectors.models.connector import Connector
from openintern.ids import new_id
from openintern.tenancy.models import User


class FeishuPerson(models.Model):
    """Who somebody of Feishu is here: what they ask for is asked in that person's name."""

    id = models.BigAutoField(primary_key=True)
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="people", db_index=False)
    open_id = models.CharField(_("open id"), max_length=100)
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"))

    class Meta:
        verbose_name = _("person at Feishu")
        verbose_name_plural = _("people at Feishu")
        constraints = [models.UniqueConstraint(fields=["connector", "open_id"], name="connectors_person_once")]

    def __str__(self) -> str:
        return self.open_id


class BotEvent(models.Model):
    """An event that was taken: the same one again changes nothing."""

    id = models.BigAutoField(primary_key=True)
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="+", db_index=False)
    event_id = models.CharField(max_length=100)
    type = models.CharField(max_length=100)
    taken_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("event of Feishu’s")
        verbose_name_plural = _("events of Feishu’s")
        # which are old enough to go
        indexes = [models.Index(fields=["taken_at"], name="connectors_event_old")]
        constraints = [models.UniqueConstraint(fields=["connector", "event_id"], name="connectors_event_once")]

    def __str__(self) -> str:
        return self.event_id


class BotMessage(models.Model):
    """A message to the bot: made a task once, and answered once.

    `conversation` is what it belongs to: the first message of its thread, in a private chat the chat. `told_at` is up to when
    what happened to its run was told. `reply_begun_at` is since when the answer may have arrived.
    """

    class State(models.TextChoices):
        RECEIVED = "received", _("taken in")
        RUNNING = "running", _("at work")
        ANSWERED = "answered", _("answered")
        IGNORED = "ignored", _("not for the bot")
        FAILED = "failed", _("not answered")

    UNFINISHED: ClassVar = (State.RECEIVED, State.RUNNING)

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "fmsg"), editable=False)
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="messages", db_index=False)
    message_id = models.CharField(max_length=100)
    conversation = models.CharField(max_length=100)
    sender = models.CharField(_("sender"), max_length=100)
    is_private = models.BooleanField(default=False)
    in_thread = models.BooleanField(default=True, help_text="its answer goes into a thread")
    mentions: models.JSONField[list[str]] = models.JSONField(default=list)
    text = models.TextField(_("text"), blank=True, default="")
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RECEIVED)
    run_id = models.CharField(_("run"), max_length=40, blank=True, default="")
    problem = models.CharField(_("problem"), max_length=300, blank=True, default="")
    tries = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now(), help_text="a claim moves it ahead: it is the lease")
    told_at = models.DateTimeField(db_default=Now())
    reply_begun_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("sent"), db_default=Now(), editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        verbose_name = _("message to the bot")
        verbose_name_plural = _("messages to the bot")
        indexes = [
            # which is next
            models.Index(
                fields=["available_at"], condition=Q(state__in=["received", "running"]), name="connectors_message_due"
            ),
            # a connector's, newest first
            models.Index(fields=["connector", "-created_at"], name="connectors_message_newest"),
            # which are old enough to go
            models.Index(fields=["created_at"], name="connectors_message_old"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["connector", "message_id"], name="connectors_message_once"),
            models.CheckConstraint(
                name="connectors_message_state",
                condition=Q(state="received", run_id="", ended_at__isnull=True)
                | (Q(state="running", ended_at__isnull=True) & ~Q(run_id=""))
                | Q(state__in=["answered", "failed"], ended_at__isnull=False)
                | Q(state="ignored", run_id="", ended_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.pk
