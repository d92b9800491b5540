"""A foreign MCP server that an organisation uses."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.secret_store import SecretField

NAME_PATTERN = r"[a-z][a-z0-9]{0,19}"


class McpServerQuerySet(models.QuerySet["McpServer"]):
    def in_use(self) -> McpServerQuerySet:
        """Those whose approved tools agents are offered."""
        return self.filter(is_enabled=True).order_by("name")


class McpServer(models.Model):
    """Where it is, with what it is spoken to, what it said that it can do, and which of that an admin has approved.

    `seen` are the tools as the server last listed them, `approved` as an admin has looked at them: a tool is offered
    while both have it with the same digest. `state`, `error` and the times are of the last look or call.
    """

    class Transport(models.TextChoices):
        STDIO = "stdio", _("a program of the catalogue")
        HTTP = "http", _("an address (streamable HTTP)")

    class Auth(models.TextChoices):
        NONE = "none", _("none")
        BEARER = "bearer", _("bearer token")
        OAUTH = "oauth", _("OAuth client credentials")

    class State(models.TextChoices):
        UNKNOWN = "unknown", _("not tried yet")
        HEALTHY = "healthy", _("answers")
        FAILING = "failing", _("doesn't answer")

    class Risk(models.TextChoices):
        MEDIUM = "medium", _("medium")
        HIGH = "high", _("high")

    name = models.CharField(_("name"), max_length=20, unique=True)
    transport = models.CharField(_("transport"), max_length=10, choices=Transport.choices)
    program = models.CharField(_("program"), max_length=40, blank=True)
    parameters: models.JSONField[dict[str, str]] = models.JSONField(_("parameters"), default=dict, blank=True)
    url = models.CharField(_("address"), max_length=2000, blank=True)
    auth = models.CharField(_("authentication"), max_length=10, choices=Auth.choices, default=Auth.NONE)
    client_id = models.CharField(_("client id"), max_length=200, blank=True)
    issuer = models.CharField(_("issuer"), max_length=2000, blank=True)
    oauth_scope = models.CharField(_("OAuth scope"), max_length=500, blank=True)
    secret = SecretField(_("secret"))
    risk = models.CharField(_("risk"), max_length=10, choices=Risk.choices, default=Risk.HIGH)
    timeout_seconds = models.PositiveSmallIntegerField(_("seconds a call may take"), default=30)
    is_enabled = models.BooleanField(_("in use"), default=True)
    seen: models.JSONField[list[dict[str, Any]]] = models.JSONField(default=list, editable=False)
    approved: models.JSONField[list[dict[str, Any]]] = models.JSONField(default=list, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.UNKNOWN, editable=False)
    error = models.TextField(_("last error"), blank=True, editable=False)
    looked_at = models.DateTimeField(_("last looked at"), null=True, editable=False)
    failed_at = models.DateTimeField(_("last failed"), null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[McpServer]] = McpServerQuerySet.as_manager()

    class Meta:
        verbose_name = _("MCP server")
        verbose_name_plural = _("MCP servers")
        constraints = [
            models.CheckConstraint(
                name="runs_mcpserver_place",
                condition=models.Q(transport="stdio", url="") & ~models.Q(program="")
                | models.Q(transport="http", program="") & ~models.Q(url=""),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def changed(self) -> list[str]:
        """The names of tools that aren't what was approved, or are new, or have gone."""
        seen = {tool["name"]: tool["digest"] for tool in self.seen}
        approved = {tool["name"]: tool["digest"] for tool in self.approved}
        return sorted(name for name in {*seen, *approved} if seen.get(name) != approved.get(name))
