"""Proposals to tidy up: what a pass would merge or forget, until a person (or a policy) decides, and the way back."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from memory.models.shelf import projects_of
from memory.owners import Owner
from openintern.tenancy.models import Project, User
from openintern.tenancy.scope import Scope


class State(models.TextChoices):
    """Where a proposal stands; `TRANSITIONS` says what may follow."""

    PROPOSED = "proposed", _("proposed")
    ACCEPTED = "accepted", _("accepted")
    REJECTED = "rejected", _("rejected")
    WITHDRAWN = "withdrawn", _("overtaken")
    ROLLED_BACK = "rolled_back", _("rolled back")


TRANSITIONS: dict[str, frozenset[str]] = {
    State.PROPOSED: frozenset({State.ACCEPTED, State.REJECTED, State.WITHDRAWN}),
    State.ACCEPTED: frozenset({State.ROLLED_BACK}),
    State.REJECTED: frozenset(),
    State.WITHDRAWN: frozenset(),
    State.ROLLED_BACK: frozenset(),
}


class ChangeSetQuerySet(models.QuerySet["ChangeSet"]):
    def for_scope(self, scope: Scope) -> ChangeSetQuerySet:
        """What `scope` may see: those about one's own memories, and about one's projects'. Nobody sees another person's."""
        return self.filter(Q(user=scope.user) | projects_of(scope))

    def of(self, owner: Owner) -> ChangeSetQuerySet:
        """Those about one owner's memories."""
        return self.filter(Q(user=owner.user_id, project=owner.project_id))


class ChangeSet(models.Model):
    """What one pass proposes for one owner. It is decided as a whole: what isn't chosen is rejected."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("person"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PROPOSED)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    decided_at = models.DateTimeField(_("decided"), null=True, editable=False)
    decided_by = models.ForeignKey(
        User, models.PROTECT, null=True, related_name="+", verbose_name=_("decided by"), db_index=False
    )

    objects: ClassVar[models.Manager[ChangeSet]] = ChangeSetQuerySet.as_manager()

    class Meta:
        verbose_name = _("change set")
        verbose_name_plural = _("change sets")
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="memory_changeset_one_owner",
                condition=Q(user__isnull=False, project__isnull=True) | Q(user__isnull=True, project__isnull=False),
            ),
            models.CheckConstraint(name="memory_changeset_state", condition=Q(state__in=State.values)),
        ]

    def __str__(self) -> str:
        return f"{self.owner.kind}: {self.state}"

    @property
    def owner(self) -> Owner:
        """Whose memories it is about."""
        return Owner(user_id=self.user_id, project_id=self.project_id)


class Change(models.Model):
    """One proposal. `members` are the memories it is about, `before` is what they were when it was made.

    The text of a merge stands here only while it is proposed: afterwards it is the memory's own, or nobody's.
    """

    class Kind(models.TextChoices):
        MERGE = "merge", _("say the same")
        STALE = "stale", _("old and never needed")
        SUPERSEDED = "superseded", _("superseded long ago")

    change_set = models.ForeignKey(ChangeSet, models.CASCADE, related_name="changes", db_index=False)
    ordinal = models.PositiveIntegerField()
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PROPOSED)
    digest = models.UUIDField(unique=True, help_text="the same for the same proposal about the same memories")
    members: ArrayField[list[uuid.UUID], list[uuid.UUID]] = ArrayField(models.UUIDField())
    before: models.JSONField[dict[str, Any]] = models.JSONField(help_text="by memory: when it had last been changed")
    text = models.TextField(_("text"), blank=True, default="")
    written_by = models.CharField(max_length=200, blank=True, default="", help_text="a model's name; empty: by rule")
    evidence: models.JSONField[dict[str, Any]] = models.JSONField(_("evidence"), default=dict)
    result = models.UUIDField(null=True, help_text="the memory that a merge made")
    forgetting = models.UUIDField(null=True, help_text="by which an expiry can be undone")

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        constraints = [
            models.UniqueConstraint(fields=["change_set", "ordinal"], name="memory_change_order"),
            models.CheckConstraint(name="memory_change_state", condition=Q(state__in=State.values)),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {len(self.members)}"


class ConsolidationPolicy(models.Model):
    """How an organisation tidies up. What a policy accepts is a project's alone: a person's own is theirs to decide."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    is_on = models.BooleanField(
        _("look daily"), default=True, help_text=_("Propose what could be tidied up, once a day.")
    )
    accepts_merges = models.BooleanField(
        _("accept merges"),
        default=False,
        help_text=_(
            "In projects, without asking: memories that say the same become one. Not where a model wrote the text."
        ),
    )
    accepts_stale = models.BooleanField(
        _("accept that the old goes"),
        default=False,
        help_text=_(
            "In projects, without asking: what happened long ago, matters little and was never needed is forgotten."
        ),
    )
    accepts_superseded = models.BooleanField(
        _("accept that the superseded goes"),
        default=False,
        help_text=_("In projects, without asking: what was superseded long ago is forgotten."),
    )
    stale_after_days = models.PositiveSmallIntegerField(
        _("old after days"), default=90, validators=[MinValueValidator(1)]
    )
    superseded_after_days = models.PositiveSmallIntegerField(
        _("superseded long ago after days"), default=30, validators=[MinValueValidator(1)]
    )
    uses_model = models.BooleanField(
        _("let the model write merges"),
        default=False,
        help_text=_(
            "The text of a merge is written by the configured model. Not while a budget is set: no run pays for it."
        ),
    )
    set_by = models.ForeignKey(User, models.PROTECT, null=True, editable=False, related_name="+", db_index=False)

    class Meta:
        verbose_name = _("consolidation policy")
        verbose_name_plural = _("consolidation policy")
        constraints: ClassVar = [models.CheckConstraint(name="memory_policy_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return str(_("consolidation policy"))

    @classmethod
    def current(cls) -> ConsolidationPolicy:
        """The organisation's, or the default."""
        return cls.objects.select_related("set_by").first() or cls()

    def accepts(self, kind: str) -> bool:
        """Whether a project's change of this kind needs nobody's look."""
        return {
            Change.Kind.MERGE: self.accepts_merges,
            Change.Kind.STALE: self.accepts_stale,
            Change.Kind.SUPERSEDED: self.accepts_superseded,
        }[Change.Kind(kind)]
