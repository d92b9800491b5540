"""A role: what an agent is told, and what it may do."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from openintern.ids import new_id

#: What stands in a role's lists is one of these, or the beginning of one with a `*`; "skill:" leads a skill's id.
LONGEST_ENTRY = 120
MOST_ENTRIES = 200


def _entries(label: Any, help_text: Any) -> ArrayField[Any, Any]:
    return ArrayField(
        models.CharField(max_length=LONGEST_ENTRY), verbose_name=label, help_text=help_text, default=list, blank=True
    )


class Role(models.Model):
    """One part that agents play. A run keeps the role as it was when it began (`runs.pinning`).

    `version` rises with every change: who changes what has been changed meanwhile is told so.
    """

    id = models.CharField(primary_key=True, max_length=40, default=partial(new_id, "role"), editable=False)
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=2000, blank=True)
    system_prompt = models.TextField(_("prompt"))
    allowed_tools = _entries(_("allowed tools"), _("None chosen: all that nothing else forbids"))
    denied_tools = _entries(_("denied tools"), _("These stand before everything that is allowed"))
    style_constraints: models.JSONField[dict[str, Any]] = models.JSONField(_("style"), default=dict, blank=True)
    model = models.CharField(_("model"), max_length=250, blank=True, help_text=_("PROVIDER/MODEL; empty: the default"))
    is_lead = models.BooleanField(_("lead"), default=False)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    created_at = models.DateTimeField(_("created"), db_default=Now(), editable=False)
    updated_at = models.DateTimeField(_("updated"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        constraints = [models.UniqueConstraint(fields=["name"], name="teams_role_name")]
        indexes = [
            # the list, newest first
            models.Index(fields=["-created_at", "-id"], name="teams_role_newest"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def llm_config(self) -> dict[str, str] | None:
        """The model as runs ask for it; None for the default."""
        if not self.model:
            return None
        provider, _slash, model = self.model.partition("/")
        return {"provider": provider, "model": model} if model else {"provider": provider}
