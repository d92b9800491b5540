"""The queue's own rows. They are shared by all organisations and live in `public`."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.tenancy.models import Organization


class Ticket(models.Model):
    """The right to work on one run. It is there from the run's acceptance to its end.

    | state     | available_at | lease_expires_at |
    |-----------|--------------|------------------|
    | queued    | a time       | null             |
    | leased    | a time       | in the future    |
    | abandoned | a time       | in the past      |
    | parked    | null, or a time to come | null  |

    The lane is (organisation, session): only its oldest ticket can be claimed, so its runs are serial,
    and a parked run (waiting for a person) keeps its place. A run that comes from another one has a lane of its own,
    which is a number below 0: it goes on while its parent, ahead of it, waits for it.
    """

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="+", db_index=False)
    session_id = models.BigIntegerField()
    run_id = models.CharField(max_length=40)
    model = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField(default=0)
    losses = models.PositiveSmallIntegerField(default=0, help_text="leases that expired since the run last got on")
    step_at_claim = models.PositiveIntegerField(default=0)
    available_at = models.DateTimeField(null=True, db_default=Now())
    leased_by = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("ticket")
        verbose_name_plural = _("tickets")
        constraints = [models.UniqueConstraint(fields=["organization", "run_id"], name="queue_ticket_run")]
        indexes = [
            # whose turn: an organisation's tickets, the oldest first
            models.Index(fields=["organization", "id"], name="queue_ticket_order"),
            # whether an older ticket of the same lane is in the way
            models.Index(fields=["organization", "session_id", "id"], name="queue_ticket_lane"),
            # how many an organisation or a model has running
            models.Index(
                fields=["organization", "model"],
                condition=models.Q(lease_expires_at__isnull=False),
                name="queue_ticket_leased",
            ),
        ]

    def __str__(self) -> str:
        return self.run_id


class Turn(models.Model):
    """When an organisation was last served: the one that has waited longest is next."""

    organization = models.OneToOneField(Organization, models.CASCADE, primary_key=True, related_name="+")
    served_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return str(self.organization)


class Cluster(models.Model):
    """A group of worker processes that is alive as long as it says so."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    workers = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("cluster")
        verbose_name_plural = _("clusters")

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
