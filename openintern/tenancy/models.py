"""Organisations, their people, projects and keys: the nouns of the public schema."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _
from django_tenants.models import TenantMixin

from openintern.ids import random_text
from openintern.tenancy.roles import Role

SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9_-]{0,48}[a-z0-9])?\Z"
slug_validator = RegexValidator(
    SLUG_PATTERN,
    _("Use 1 to 50 lower-case letters, digits, '-' or '_', starting and ending with one of the first two."),
)


def generate_schema_name() -> str:
    """Return a new schema name; it is never derived from what somebody typed."""
    return "org_" + random_text(16).lower()


class User(AbstractUser):
    """A person or a program that can sign in. People are deactivated, never deleted."""

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.UniqueConstraint(
                Lower("username"), name="tenancy_user_username_ci", violation_error_message=_("That name is taken.")
            ),
        ]


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def active(self) -> OrganizationQuerySet:
        """The organisations whose people may sign in and whose runs may start."""
        return self.filter(is_active=True)


class Organization(TenantMixin):  # type: ignore[misc]  # the library has no types
    """One tenant: everything it owns lives in its own schema.

    `slug` is the public `org_id`. `migrated_to` is the fingerprint of the migrations its schema has;
    where it differs from the code's, nobody may enter (see `openintern.tenancy.schemas`).
    """

    auto_create_schema = False  # schemas.create does it, in steps that can be repeated
    schema_name = models.CharField(max_length=63, unique=True, default=generate_schema_name, editable=False)
    slug = models.CharField(_("slug"), max_length=50, unique=True, validators=[slug_validator])
    name = models.CharField(_("name"), max_length=200)
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("A suspended organisation answers nobody and starts no runs.")
    )
    max_concurrent_runs = models.PositiveIntegerField(_("runs at once"), default=10)
    max_runs_per_minute = models.PositiveIntegerField(
        _("tasks a minute"),
        default=600,
        help_text=_("More are refused for a moment; one person may give half of them."),
    )
    retention_days = models.PositiveIntegerField(
        _("days to keep runs"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "Runs that ended longer ago are removed with their events, once a day. Empty: they are kept for ever."
        ),
    )
    four_eyes = models.BooleanField(
        _("four eyes"),
        default=False,
        help_text=_("High-risk calls are approved by an admin in person, never by whoever started the run."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=60,
        default="UTC",
        db_default="UTC",
        help_text=_("Schedules go by it that have none of their own."),
    )
    migrated_to = models.CharField(max_length=64, default="", editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Organization]] = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name or self.slug


class Project(models.Model):
    """A part of an organisation whose members share runs, files and knowledge."""

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="projects", verbose_name=_("organisation")
    )
    slug = models.CharField(_("slug"), max_length=50, validators=[slug_validator])
    name = models.CharField(_("name"), max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("project")
        verbose_name_plural = _("projects")
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="tenancy_project_slug")]

    def __str__(self) -> str:
        return self.name or self.slug


class Membership(models.Model):
    """That a person belongs to an organisation, as what, and to which of its projects."""

    user = models.ForeignKey(User, models.PROTECT, related_name="memberships", verbose_name=_("person"))
    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="memberships", verbose_name=_("organisation")
    )
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.MEMBER)
    projects = models.ManyToManyField(Project, blank=True, related_name="memberships", verbose_name=_("projects"))
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ["organization", "user"]
        constraints = [models.UniqueConstraint(fields=["user", "organization"], name="tenancy_membership_once")]

    def __str__(self) -> str:
        return f"{self.user} – {self.organization}"


class ApiKey(models.Model):
    """A program's credential, bound to one person in one organisation. The key itself is not stored."""

    organization = models.ForeignKey(
        Organization, models.CASCADE, related_name="api_keys", verbose_name=_("organisation")
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="api_keys", verbose_name=_("person"))
    name = models.CharField(_("name"), max_length=100, blank=True)
    prefix = models.CharField(_("prefix"), max_length=12, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=20), verbose_name=_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"oi_{self.prefix}…"

    def is_usable(self, *, at: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


class AuditEntry(models.Model):
    """Who did, or was refused, what. Append-only: the database refuses updates and deletes."""

    class Outcome(models.TextChoices):
        DONE = "done", _("done")
        REFUSED = "refused", _("refused")

    at = models.DateTimeField(_("time"), db_default=Now(), editable=False)
    organization = models.ForeignKey(
        Organization,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("organisation"),
    )
    actor = models.ForeignKey(
        User, models.DO_NOTHING, null=True, db_constraint=False, related_name="+", verbose_name=_("person")
    )
    via = models.CharField(
        _("via"), max_length=40, blank=True, help_text=_("session, command, or the prefix of an API key")
    )
    action = models.CharField(_("action"), max_length=60)
    object_id = models.CharField(_("object"), max_length=200, blank=True)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome.choices, default=Outcome.DONE)
    address = models.GenericIPAddressField(_("address"), null=True)
    details: models.JSONField[dict[str, Any]] = models.JSONField(_("details"), default=dict)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        ordering = ["-id"]
        indexes = [
            # the audit of one organisation, newest first
            models.Index(fields=["organization", "-id"], name="tenancy_audit_org"),
            # how often something failed of late (sign-in throttling)
            models.Index(fields=["action", "object_id", "-at"], name="tenancy_audit_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_id}".strip()
