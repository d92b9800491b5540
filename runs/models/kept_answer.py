"""What requests with an Idempotency-Key were answered."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from openintern.tenancy.models import User


class KeptAnswer(models.Model):
    """The answer to a request with an `Idempotency-Key`: sent again, it is answered so again, and nothing is done twice.

    Written in the transaction of what the request did, so that there is both or neither.
    """

    user = models.ForeignKey(User, models.PROTECT, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField(help_text="the JSON to the letter")
    headers: models.JSONField[dict[str, str]] = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="runs_kept_answer_once")]
        indexes = [
            # those that are old enough to go
            models.Index(fields=["created_at"], name="runs_kept_answer_age"),
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.status}"
