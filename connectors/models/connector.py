"""Where knowledge comes from: an organisation's app at Feishu, and what of it is wanted."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from memory.models.shelf import projects_of
from openintern.ids import new_id
from openintern.secret_store import SecretField
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope

FEISHU: Final = "https://open.feishu.cn"
LONGEST_NAME: Final = 200


class ConnectorQuerySet(models.QuerySet["Connector"]):
    def for_scope(self, scope: Scope) -> ConnectorQuerySet:
        """Those of the projects that `scope` may see."""
        return self.filter(projects_of(scope))


class Connector(models.Model):
    """One app of one organisation, whose documents a project shares. Its secrets go in and never come out.

    `config` is what `connectors.feishu.config` makes of what people say. `polls_at` is when it is looked at by itself.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        PAUSED = "paused", _("paused")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "fconn"), editable=False)
    project = models.ForeignKey(Project, models.PROTECT, related_name="+", verbose_name=_("project"))
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE)
    config: models.JSONField[dict[str, Any]] = models.JSONField(_("configuration"), default=dict)
    base_url = models.CharField(_("address"), max_length=300, default=FEISHU)
    app_id = models.CharField(_("app id"), max_length=100, blank=True, default="")
    app_secret = SecretField(_("app secret"))
    encrypt_key = SecretField(_("encrypt key"))
    verification_token = SecretField(_("verification token"))
    bot_open_id = models.CharField(max_length=100, blank=True, default="", editable=False)
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+", verbose_name=_("added by"))

    last_sync_at = models.DateTimeField(_("last sync"), null=True, editable=False)
    last_success_at = models.DateTimeField(_("last success"), null=True, editable=False)
    last_error = models.TextField(_("last error"), blank=True, default="", editable=False)
    last_polled_at = models.DateTimeField(_("last polled"), null=True, editable=False)
    polls_at = models.DateTimeField(_("next poll"), db_default=Now(), editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("changed"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Connector]] = ConnectorQuerySet.as_manager()

    class Meta:
        verbose_name = _("connector")
        verbose_name_plural = _("connectors")
        indexes = [
            # a project's, newest first
            models.Index(fields=["project", "-created_at", "-id"], name="connectors_of_project"),
            # whose turn it is to be polled
            models.Index(fields=["polls_at"], condition=models.Q(status="active"), name="connectors_connector_due"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_able(self) -> bool:
        """Whether it has what the other side asks for."""
        return bool(self.app_id and self.app_secret)

    @property
    def hears(self) -> bool:
        """Whether its bot has what it needs to believe what is said to it."""
        return bool(self.app_id and self.encrypt_key and self.verification_token)
