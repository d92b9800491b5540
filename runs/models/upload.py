"""A file that somebody sent along."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.tenancy.models import User
from openintern.tenancy.scope import Scope


class UploadQuerySet(models.QuerySet["Upload"]):
    def for_scope(self, scope: Scope) -> UploadQuerySet:
        """What `scope` may open: one's own uploads; an admin may open all."""
        return self if scope.sees_everything else self.of_person(scope)

    def of_person(self, scope: Scope) -> UploadQuerySet:
        """One's own uploads, whatever the project: those that one may give to a run."""
        return self.filter(user=scope.user)


class Upload(models.Model):
    """A file that a person sent. Its bytes are a file of the data directory, named after `id` alone."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "upl"), editable=False)
    user = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("person"))
    original_name = models.CharField(_("name"), max_length=200)
    mime_type = models.CharField(_("type"), max_length=100, help_text="found out from the content")
    size = models.PositiveIntegerField(_("bytes"))
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Upload]] = UploadQuerySet.as_manager()

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")

    def __str__(self) -> str:
        return self.original_name
