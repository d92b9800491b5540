"""One owner's memories of one tier: who may see them, and the statistics that ranking them needs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from memory.owners import NAME_LENGTH, Owner
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope


class Tier(models.TextChoices):
    CORE = "core", _("core")
    EPISODIC = "episodic", _("episodic")
    ARCHIVAL = "archival", _("archival")


_IS_USERS = Q(user__isnull=False, project__isnull=True, board="", agent="")
_IS_PROJECTS = Q(user__isnull=True, project__isnull=False, board="", agent="")
_IS_BOARDS = Q(user__isnull=True, project__isnull=True, agent="") & ~Q(board="")
_IS_AGENTS = Q(user__isnull=True, project__isnull=True, board="") & ~Q(agent="")


class ShelfQuerySet(models.QuerySet["Shelf"]):
    def for_scope(self, scope: Scope, *, board: str = "", agent: str = "") -> ShelfQuerySet:
        """What `scope` may see: one's own, and one's projects'; a project in the scope leaves that one's alone.

        Nobody sees another person's, admins neither; they see every project's. A board's and an agent instance's
        are seen only by who names them: whoever passes a name on has made sure that the asker may.
        """
        asked = Q(board=board) if board else Q(pk__in=[])
        if agent:
            asked |= Q(agent=agent)
        return self.filter(Q(user=scope.user) | projects_of(scope) | asked)

    def for_member(self, scope: Scope, *, board: str, agent: str) -> ShelfQuerySet:
        """What a member of a team may see at its work: the board, its own, its projects', and the person's archive.

        What else is the person's own isn't a team's business, and what a member writes is there for others to read.
        """
        ours = Q(board=board) | Q(agent=agent) | projects_of(scope)
        return self.filter(ours | Q(user=scope.user, tier=Tier.ARCHIVAL))

    def of(self, owner: Owner) -> ShelfQuerySet:
        """The shelves of one owner, in the order in which they are locked."""
        return self.filter(**owner.columns()).order_by("pk")


def projects_of(scope: Scope) -> Q:
    """The projects whose memories are in sight, as a condition on `project`."""
    if scope.project is not None:
        return Q(project=scope.project)
    if scope.sees_everything:
        return Q(project__isnull=False)
    mine = Project.objects.filter(memberships__user=scope.user, memberships__organization=scope.org)
    return Q(project__in=mine)


class Shelf(models.Model):
    """The memories that one owner has in one tier.

    Its row is locked by whoever writes to it, so that its statistics are exact and nothing is stored twice.
    """

    user = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", verbose_name=_("person"), db_index=False
    )
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    board = models.CharField(_("board"), max_length=NAME_LENGTH, blank=True, default="")
    agent = models.CharField(_("agent instance"), max_length=NAME_LENGTH, blank=True, default="")
    tier = models.CharField(_("tier"), max_length=10, choices=Tier.choices)
    passages = models.PositiveIntegerField(_("passages"), default=0, help_text="how many can be found")
    words = models.PositiveBigIntegerField(_("words"), default=0, help_text="the length of all of them together")

    objects: ClassVar[models.Manager[Shelf]] = ShelfQuerySet.as_manager()

    class Meta:
        verbose_name = _("shelf")
        verbose_name_plural = _("shelves")
        constraints = [
            models.CheckConstraint(
                name="memory_shelf_one_owner", condition=_IS_USERS | _IS_PROJECTS | _IS_BOARDS | _IS_AGENTS
            ),
            # one shelf a tier; the same index finds an owner's
            models.UniqueConstraint(
                fields=["user", "project", "board", "agent", "tier"], name="memory_shelf_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner.kind}: {self.tier}"

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(user_id=self.user_id, project_id=self.project_id, board=self.board, agent=self.agent)
