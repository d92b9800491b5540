"""Where an organisation wants to hear of what happens, and what it is told."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.secret_store import SecretField


class Webhook(models.Model):
    """An address, what it is told of, and the secret that signs it.

    `available_at` is when it may be served next: while a courier serves it, the end of that courier's lease; after a
    failure, the end of a pause. `failing_since` is the first of the failures that no success has followed.
    """

    class Rest(models.TextChoices):
        NO = "", _("no")
        BY_HAND = "by_hand", _("by hand")
        FAILING = "failing", _("it has failed for days")
        GONE = "gone", _("it has answered that it is gone")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "whk"), editable=False)
    name = models.CharField(_("name"), max_length=100)
    url = models.CharField(_("address"), max_length=2000)
    event_types: ArrayField[list[str], list[str]] = ArrayField(
        models.CharField(max_length=60), verbose_name=_("events"), default=list
    )
    secret = SecretField(_("secret"))
    old_secret = SecretField(_("secret before"))
    old_secret_until = models.DateTimeField(null=True, editable=False)
    rests = models.CharField(_("rests"), max_length=10, choices=Rest.choices, default=Rest.NO, blank=True)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    served_at = models.DateTimeField(_("last served"), null=True, editable=False)
    available_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")

    def __str__(self) -> str:
        return self.name

    def secrets(self, *, at: datetime) -> list[str]:
        """Return what signs now: the secret, and for a while after a rotation the one before it. Raises Unreadable."""
        old = self.old_secret if self.old_secret_until and self.old_secret_until > at else None
        return [each.reveal() for each in (self.secret, old) if each]


class Delivery(models.Model):
    """One thing that one webhook is to be told. Of a run's event it holds the number, of anything else the payload."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        DONE = "done", _("delivered")
        DEAD = "dead", _("given up")

    TRANSITIONS: ClassVar[dict[str, tuple[str, ...]]] = {
        State.DONE: (State.QUEUED,),
        State.DEAD: (State.QUEUED,),
        State.QUEUED: (State.QUEUED, State.DEAD, State.DONE),
    }

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries", db_index=False)
    type = models.CharField(_("event"), max_length=60)
    run_id = models.CharField(_("run"), max_length=40, db_default="", default="", blank=True)
    seq = models.PositiveIntegerField(null=True)
    payload: models.JSONField[dict[str, Any] | None] = models.JSONField(null=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, db_default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(_("attempts"), db_default=0)
    available_at = models.DateTimeField(_("next attempt"), db_default=Now())
    status = models.PositiveSmallIntegerField(_("answer"), null=True)
    error = models.CharField(_("error"), max_length=300, db_default="", default="", blank=True)
    created_at = models.DateTimeField(_("created"), db_default=Now())
    settled_at = models.DateTimeField(_("settled"), null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            # what a webhook is to be told next, and whether there is anything
            models.Index(
                fields=["webhook", "available_at"], condition=models.Q(state="queued"), name="runs_delivery_due"
            ),
            # the latest of a webhook; the page of them
            models.Index(fields=["webhook", "-id"], name="runs_delivery_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"

    @property
    def message_id(self) -> str:
        """What the receiver knows it by, however often it is sent."""
        return f"msg_{self.webhook_id.removeprefix('whk_')}_{self.pk}"
