"""A question of a run's as it stands at Feishu."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from connectors.models.connector import Connector
from openintern.ids import new_id
from runs.models import Approval


class ApprovalCard(models.Model):
    """A card that asks for an approval: in the thread that its run came from (`answers`), or before one person (`to`).

    | state    | set by the `connector` process, when | at Feishu                              |
    |----------|--------------------------------------|----------------------------------------|
    | `due`    | it finds the question                | nothing yet, or it isn't known         |
    | `open`   | Feishu has taken it                  | it asks                                |
    | `closed` | the question is settled, and it says | it says how; or there never was a card |
    | `failed` | it was tried too often               | it can't be known                      |

    It decides nothing: what was decided stands in the approval, whoever wrote it there. `available_at` is the lease, and
    fences it. `begun_at` is since when it may have arrived.
    """

    class State(models.TextChoices):
        DUE = "due", _("to be sent")
        OPEN = "open", _("asks")
        CLOSED = "closed", _("over")
        FAILED = "failed", _("failed")

    UNFINISHED: ClassVar = (State.DUE, State.OPEN)

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "fcard"), editable=False)
    connector = models.ForeignKey(Connector, models.CASCADE, related_name="+", verbose_name=_("connector"))
    approval = models.ForeignKey(Approval, models.CASCADE, related_name="+", db_index=False, verbose_name=_("approval"))
    answers = models.CharField(max_length=100, blank=True, default="")
    in_thread = models.BooleanField(default=True)
    to = models.CharField(max_length=100, blank=True, default="")
    message_id = models.CharField(max_length=100, blank=True, default="")
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.DUE)
    problem = models.CharField(_("problem"), max_length=300, blank=True, default="")
    tries = models.PositiveSmallIntegerField(default=0)
    available_at = models.DateTimeField(db_default=Now(), help_text="a claim moves it ahead: it is the lease")
    begun_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        verbose_name = _("card of an approval")
        verbose_name_plural = _("cards of approvals")
        indexes = [
            # which is next
            models.Index(fields=["available_at"], condition=Q(state__in=["due", "open"]), name="connectors_card_due"),
        ]
        constraints = [
            # a question stands in one place once; also whether it was found at all
            models.UniqueConstraint(fields=["approval", "connector", "answers", "to"], name="connectors_card_once"),
            models.CheckConstraint(
                name="connectors_card_state",
                condition=Q(state="due", message_id="", ended_at__isnull=True)
                | (Q(state="open", ended_at__isnull=True) & ~Q(message_id=""))
                | Q(state__in=["closed", "failed"], ended_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.pk
