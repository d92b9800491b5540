"""Skills: to look at, to put in force and to take out of it."""

from __future__ import annotations

from django.contrib.admin import action, display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import ReadOnlyPages, asker
from openintern.sites import organization_admin
from teams import skills
from teams.models import Skill


class SkillPages(ReadOnlyPages[Skill]):
    """Skills to look at, to put in force and to take out of it; they are written on their own pages."""

    list_display = ["name", "risk", "in_force", "is_for_everybody", "lowers_risk", "health_status", "page"]
    list_filter = ["health_status", "is_for_everybody", "lowers_risk"]
    list_select_related = ["current", "enabled"]
    search_fields = ["name", "current__description"]
    fields = ["name", "risk", "in_force", "is_for_everybody", "roles", "lowers_risk", "health_status", "page"]
    readonly_fields = ["risk", "in_force", "page"]
    actions = ["enable", "disable"]

    @display(description=_("risk"))
    def risk(self, skill: Skill) -> str:
        return skill.current.get_risk_level_display() if skill.current else ""

    @display(description=_("in force"))
    def in_force(self, skill: Skill) -> str:
        return f"v{skill.enabled.number}" if skill.enabled else ""

    @display(description=_("page"))
    def page(self, skill: Skill) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("skill", args=[skill.pk]), _("open"))

    @action(description=_("Put the selected skills in force"))
    def enable(self, request: HttpRequest, chosen: QuerySet[Skill]) -> None:
        for skill in chosen:
            skills.change(asker(request), skill.pk, is_enabled=True)

    @action(description=_("Take the selected skills out of force"))
    def disable(self, request: HttpRequest, chosen: QuerySet[Skill]) -> None:
        for skill in chosen:
            skills.change(asker(request), skill.pk, is_enabled=False)


organization_admin.register(Skill, SkillPages)
