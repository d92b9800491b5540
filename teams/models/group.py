"""A group: roles that work as a team, in an order, with a lead."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from teams.models.role import Role

MOST_ROUNDS: Final = 5


class GroupQuerySet(models.QuerySet["Group"]):
    def for_scope(self, scope: Scope) -> GroupQuerySet:
        """What `scope` may see: the groups of no project and those of one's projects; an admin sees all.

        A project in the scope narrows it to that project's groups and those of no project.
        """
        shared = models.Q(project=None)
        mine = shared | models.Q(project__in=Project.objects.filter(memberships__user=scope.user))
        visible = self if scope.sees_everything else self.filter(mine)
        return visible.filter(shared | models.Q(project=scope.project)) if scope.project else visible


class Group(models.Model):
    """A team. A run keeps the group as it was when it began (`runs.pinning`).

    `version` rises with every change of the group or its members: who changes what has been changed meanwhile is told so.
    """

    class Mode(models.TextChoices):
        SERIAL = "serial", _("one after the other")
        PARALLEL = "parallel", _("all at once, then the lead")

    class OnFailure(models.TextChoices):
        CONTINUE = "continue", _("tell the lead and go on")
        RETRY = "retry", _("try once more, then go on")
        FAIL = "fail", _("fail the run")

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "grp"), editable=False)
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=2000, blank=True)
    project = models.ForeignKey(
        Project,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("project"),
        help_text=_("Who sees the group and shares its board; none: everybody"),
    )
    lead: models.ForeignKey[Member | None, Member | None] = models.ForeignKey(
        "Member",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("lead"),
        help_text=_("None chosen: the first member whose role is a lead"),
    )
    mode = models.CharField(_("how they work"), max_length=10, choices=Mode.choices, default=Mode.SERIAL)
    quorum = models.PositiveSmallIntegerField(
        _("quorum"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("At once: for how many the lead waits; empty: for all"),
    )
    max_rounds = models.PositiveSmallIntegerField(
        _("rounds"), default=3, validators=[MinValueValidator(1), MaxValueValidator(MOST_ROUNDS)]
    )
    on_member_failure = models.CharField(
        _("when a member fails"), max_length=10, choices=OnFailure.choices, default=OnFailure.CONTINUE
    )
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)

    objects: ClassVar[models.Manager[Group]] = GroupQuerySet.as_manager()

    class Meta:
        verbose_name = _("group")
        verbose_name_plural = _("groups")
        constraints = [
            models.UniqueConstraint(fields=["name"], name="teams_group_name"),
            models.CheckConstraint(
                name="teams_group_rounds", condition=models.Q(max_rounds__gte=1, max_rounds__lte=MOST_ROUNDS)
            ),
            models.CheckConstraint(
                name="teams_group_quorum", condition=models.Q(quorum=None) | models.Q(quorum__gte=1)
            ),
        ]
        indexes = [
            # the list, newest first
            models.Index(fields=["-created_at", "-id"], name="teams_group_newest"),
        ]

    def __str__(self) -> str:
        return self.name


class AgentInstance(models.Model):
    """A role at work in a project (or in none), with a memory of its own, whichever groups it is in."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "agent"), editable=False)
    role = models.ForeignKey(Role, models.CASCADE, related_name="instances", verbose_name=_("role"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("agent instance")
        verbose_name_plural = _("agent instances")
        constraints = [
            models.UniqueConstraint(fields=["role", "project"], name="teams_agentinstance_role", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return self.pk


class Member(models.Model):
    """That a role is in a group, in which place, and as which agent."""

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "mbr"), editable=False)
    group = models.ForeignKey(Group, models.CASCADE, related_name="members", db_index=False)
    role = models.ForeignKey(Role, models.CASCADE, related_name="memberships", verbose_name=_("role"))
    agent = models.ForeignKey(AgentInstance, models.CASCADE, related_name="+", editable=False)
    ordinal = models.PositiveIntegerField(_("place"), default=0)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering: ClassVar[list[Any]] = ["ordinal", "created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["group", "role"], name="teams_member_role")]

    def __str__(self) -> str:
        return self.pk
