"""The conversation that runs belong to."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope

SESSION_KEY_PATTERN = r"s_[a-zA-Z0-9_]{1,100}"
DEFAULT_SESSION_KEY = "s_default"


class SessionQuerySet(models.QuerySet["Session"]):
    def of_person(self, scope: Scope) -> SessionQuerySet:
        """The person's own conversations, those of the project in scope or those of none."""
        return self.filter(user=scope.user, project=scope.project)


class Session(models.Model):
    """A conversation: its runs are serial, and each sees what the ones before it said."""

    key = models.CharField(max_length=102)
    user = models.ForeignKey(User, models.PROTECT, related_name="+")
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+")
    title = models.CharField(_("title"), max_length=200, blank=True)
    is_archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    active_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Session]] = SessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        constraints = [
            models.UniqueConstraint(fields=["user", "project", "key"], nulls_distinct=False, name="runs_session_key")
        ]
        # the sidebar: one person's conversations, the latest first
        indexes = [models.Index(fields=["user", "-active_at"], name="runs_session_recent")]

    def __str__(self) -> str:
        return self.title or self.key
