"""A skill: how something is done, for agents to look up, and the tools that go with it."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.tenancy.models import User
from teams.models.role import Role


class SkillQuerySet(models.QuerySet["Skill"]):
    def with_content(self) -> SkillQuerySet:
        """With what they say, now and as it is in force."""
        return self.select_related("current", "enabled")

    def in_force(self) -> SkillQuerySet:
        """Those that an admin has enabled."""
        return self.with_content().filter(enabled__isnull=False)


class Skill(models.Model):
    """One skill. What it says is in its versions: `current` is the newest, `enabled` the one that agents get.

    Nothing of a skill reaches an agent before an admin has enabled it; what is imported later under its name waits for
    the same. `lowers_risk` is an admin's word that its tools are as risky as it says, and not more.
    """

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("unknown")
        HEALTHY = "healthy", _("healthy")
        UNHEALTHY = "unhealthy", _("unhealthy")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "skill"), editable=False)
    name = models.CharField(_("name"), max_length=100)
    current: models.ForeignKey[SkillVersion | None, SkillVersion | None] = models.ForeignKey(
        "SkillVersion", models.SET_NULL, null=True, related_name="+", editable=False
    )
    enabled: models.ForeignKey[SkillVersion | None, SkillVersion | None] = models.ForeignKey(
        "SkillVersion", models.SET_NULL, null=True, related_name="+", editable=False
    )
    is_for_everybody = models.BooleanField(_("for every agent"), default=True)
    roles: models.ManyToManyField[Role, Any] = models.ManyToManyField(
        Role, related_name="skills", blank=True, verbose_name=_("roles"), help_text=_("They get its tools too")
    )
    lowers_risk = models.BooleanField(_("its risk holds even where it is lower than the tool's own"), default=False)
    health_status = models.CharField(_("health"), max_length=10, choices=Health.choices, default=Health.UNKNOWN)
    health_problems: models.JSONField[list[str]] = models.JSONField(default=list, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Skill]] = SkillQuerySet.as_manager()

    class Meta:
        verbose_name = _("skill")
        verbose_name_plural = _("skills")
        constraints = [models.UniqueConstraint(fields=["name"], name="teams_skill_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_in_force(self) -> bool:
        """Whether agents get its newest version."""
        return self.enabled is not None and self.enabled == self.current


class SkillVersion(models.Model):
    """What a skill says: written once, never changed. `files` are its attached texts by their paths."""

    class Risk(models.TextChoices):
        LOW = "low", _("low")
        MEDIUM = "medium", _("medium")
        HIGH = "high", _("high")

    class Provider(models.TextChoices):
        BUILTIN = "builtin", _("built in")
        MCP = "mcp", "MCP"

    class Source(models.TextChoices):
        LOCAL = "local", _("written here")
        REPO = "repo", _("repository")
        SYSTEM = "system", _("system")
        REMOTE = "remote", _("from elsewhere")

    skill = models.ForeignKey(Skill, models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField(_("version"))
    label = models.CharField(max_length=50, blank=True, help_text="what its author calls the version")
    description = models.CharField(_("description"), max_length=2000, blank=True)
    text = models.TextField(_("text"), blank=True)
    files: models.JSONField[dict[str, str]] = models.JSONField(default=dict)
    tools: models.JSONField[list[dict[str, Any]]] = models.JSONField(_("tools"), default=list)
    risk_level = models.CharField(_("risk"), max_length=10, choices=Risk.choices, default=Risk.LOW)
    provider = models.CharField(_("provider"), max_length=10, choices=Provider.choices, default=Provider.BUILTIN)
    source_type = models.CharField(_("source"), max_length=10, choices=Source.choices, default=Source.LOCAL)
    entry_path = models.CharField(max_length=300, blank=True)
    allow_implicit_invocation = models.BooleanField(_("agents may load it unasked"), default=False)
    dependencies: models.JSONField[dict[str, Any]] = models.JSONField(default=dict)
    author = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("version of a skill")
        verbose_name_plural = _("versions of skills")
        constraints = [models.UniqueConstraint(fields=["skill", "number"], name="teams_skillversion_number")]

    def __str__(self) -> str:
        return f"{self.skill_id} v{self.number}"

    @property
    def tool_names(self) -> list[str]:
        """The names of its tools."""
        return [tool["name"] for tool in self.tools]
