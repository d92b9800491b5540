"""A question to a person: may this call run?"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.tenancy.models import User
from openintern.tenancy.scope import Scope
from runs.models.run import Run


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def for_scope(self, scope: Scope) -> ApprovalQuerySet:
        """The questions of those runs that `scope` may see."""
        return self.filter(run__in=Run.objects.for_scope(scope))

    def pending(self) -> ApprovalQuerySet:
        """Those that can still be answered, by the database's clock."""
        return self.filter(status=Approval.Status.PENDING, expires_at__gt=Now())

    def overdue(self) -> ApprovalQuerySet:
        """Those that nobody answered in time."""
        return self.filter(status=Approval.Status.PENDING, expires_at__lte=Now())

    def grants(self) -> ApprovalQuerySet:
        """Those that were approved for more than the one call, and still hold."""
        return self.filter(status=Approval.Status.APPROVED, revoked_at=None).exclude(covers=Approval.Covers.CALL)

    def covering(self, run: Run, *, agent_id: str) -> ApprovalQuerySet:
        """The grants that a call of that agent's in `run` may rest on: what one agent of a run was granted, no other has."""
        covers_run, covers_agent = Approval.Covers.RUN, Approval.Covers.AGENT
        covers = models.Q(covers=covers_run, run=run) | models.Q(covers=covers_agent)
        return self.grants().filter(covers, agent_id=agent_id)

    def withdraw(self, run: Run) -> None:
        """Take back the questions of a run that has ended."""
        self.filter(run=run, status=Approval.Status.PENDING).update(status=Approval.Status.WITHDRAWN)


class Approval(models.Model):
    """One call that the policy won't let pass by itself, and what a person said to it.

    | state       | set by                          | the call               |
    |-------------|---------------------------------|------------------------|
    | `pending`   | the engine, with the answer     | waits                  |
    | `approved`  | a person                        | runs                   |
    | `rejected`  | a person                        | is refused             |
    | `expired`   | the engine, after `expires_at`  | is refused             |
    | `withdrawn` | whatever ends the run           | never comes to be      |

    `digest` binds it to the tool, the arguments and the policy that asked. An approval that covers the run or the
    agent is a grant: later calls of that tool rest on it until it is revoked.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("waiting for a decision")
        APPROVED = "approved", _("approved")
        REJECTED = "rejected", _("rejected")
        EXPIRED = "expired", _("expired")
        WITHDRAWN = "withdrawn", _("withdrawn")

    class Covers(models.TextChoices):
        CALL = "call", _("this call")
        RUN = "run", _("this tool, in this run")
        AGENT = "agent", _("this tool, for this agent")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "apr"), editable=False)
    run = models.ForeignKey(Run, models.CASCADE, related_name="approvals", db_index=False)
    tool_call_id = models.CharField(max_length=100)
    step = models.PositiveIntegerField(_("step"))
    agent_id = models.CharField(_("agent"), max_length=100)
    tool = models.CharField(_("tool"), max_length=100)
    risk = models.CharField(_("risk"), max_length=10)
    arguments: models.JSONField[dict[str, Any]] = models.JSONField(_("arguments"))
    digest = models.CharField(max_length=64)
    rule = models.CharField(_("rule"), max_length=60)
    reason = models.TextField(_("why it is asked"))

    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.PENDING)
    covers = models.CharField(_("covers"), max_length=5, choices=Covers.choices, default=Covers.CALL)
    edited_arguments: models.JSONField[dict[str, Any] | None] = models.JSONField(_("changed arguments"), null=True)
    note = models.TextField(_("note"), blank=True)
    decided_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by"))
    decided_at = models.DateTimeField(_("decided"), null=True)
    created_at = models.DateTimeField(_("asked"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True)

    objects: ClassVar[models.Manager[Approval]] = ApprovalQuerySet.as_manager()

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        constraints = [
            models.UniqueConstraint(fields=["run", "tool_call_id"], name="runs_approval_once"),
            models.CheckConstraint(
                name="runs_approval_names_its_judge",
                condition=models.Q(status__in=["approved", "rejected"], decided_by__isnull=False)
                | models.Q(status__in=["pending", "expired", "withdrawn"], decided_by=None, covers="call"),
            ),
        ]
        indexes = [
            # the inbox, and how many wait
            models.Index(fields=["created_at"], condition=models.Q(status="pending"), name="runs_approval_inbox"),
            # whether an agent may use a tool by itself
            models.Index(
                fields=["agent_id", "tool"],
                condition=models.Q(status="approved", covers="agent", revoked_at=None),
                name="runs_approval_of_agent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.tool}"
