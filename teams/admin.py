"""Roles and skills in the organisation's admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import action, display
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import OrganizationPages, ReadOnlyPages, asker
from openintern.errors import OpenInternError
from openintern.sites import organization_admin
from openintern.tenancy.identity import may
from runs.briefs import brief_of
from runs.pinning import given_by
from runs.rehearsal import MOST_DAYS, Change, rehearse
from runs.tools.policy import Lists
from teams import roles, skills
from teams.forms import tool_choices
from teams.models import Role, Skill


def _picker(name: str, *, label: Any = None) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label or Role._meta.get_field(name).verbose_name,  # type: ignore[union-attr]  # noqa: SLF001  Django's public name for it
        help_text="" if label else Role._meta.get_field(name).help_text,  # type: ignore[union-attr]  # noqa: SLF001
        required=False,
        widget=FilteredSelectMultiple(verbose_name=_("tools"), is_stacked=False),
    )


class RoleForm(forms.ModelForm[Role]):
    allowed_tools = _picker("allowed_tools")
    denied_tools = _picker("denied_tools")
    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Role
        fields = [*roles.FIELDS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen_version"] = self.instance.version
        for name in ("allowed_tools", "denied_tools"):
            picker: Any = self.fields[name]
            picker.choices = tool_choices(getattr(self.instance, name))

    def clean(self) -> dict[str, Any]:
        """Hold what was written against the rules of the domain, so that a mistake stands beside its field."""
        told = super().clean() or self.cleaned_data
        try:
            roles.check({name: told[name] for name in roles.FIELDS if name in told})
        except OpenInternError as error:
            field = str((error.details or {}).get("field", "")).split(".")[0]
            self.add_error(field if field in self.fields else None, error.message)
        return told


class RehearsalForm(forms.Form):
    days = forms.IntegerField(label=_("days"), min_value=1, max_value=MOST_DAYS, initial=7)
    allowed = _picker("allowed_tools")
    denied = _picker("denied_tools")
    high_risk = _picker("denied_tools", label=_("taken for high risk"))

    def __init__(self, role: Role, told: Any) -> None:
        start = {"allowed": role.allowed_tools, "denied": role.denied_tools}
        super().__init__(told or None, initial=start)
        for name in ("allowed", "denied", "high_risk"):
            picker: Any = self.fields[name]
            picker.choices = tool_choices([*role.allowed_tools, *role.denied_tools])

    def change(self, role: Role) -> Change:
        """Return what is to be rehearsed."""
        told = self.cleaned_data
        return Change(
            role_id=role.pk,
            allowed=tuple(told["allowed"]),
            denied=tuple(told["denied"]),
            risks=dict.fromkeys(told["high_risk"], "high"),
        )


class RolePages(OrganizationPages[Role]):
    """What agents are told and may do. Runs that have begun keep what they began with."""

    form = RoleForm
    list_display = ["name", "model", "is_lead", "allowed", "denied", "version", "updated_at"]
    search_fields = ["name", "description"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "name",
                    "description",
                    "model",
                    "is_lead",
                    "system_prompt",
                    "style_constraints",
                    "seen_version",
                ]
            },
        ),
        (_("Tools"), {"fields": ["allowed_tools", "denied_tools"]}),
        (_("What a run is given"), {"fields": ["offered", "preview"]}),
    ]
    readonly_fields = ["offered", "preview"]
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "role", "create")  # type: ignore[arg-type]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "role", "change")  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "role", "delete")  # type: ignore[arg-type]

    def get_urls(self) -> list[Any]:
        pages = self.admin_site.admin_view(self.rehearsal)
        return [path("<path:object_id>/rehearse/", pages, name="teams_role_rehearse"), *super().get_urls()]

    def rehearsal(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would have gone another way in the last days with other lists."""
        role = roles.find(object_id)
        form = RehearsalForm(role, request.GET)
        found = None
        if form.is_valid():
            since = timezone.now() - timedelta(days=form.cleaned_data["days"])
            found = rehearse(form.change(role), since=since)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rehearse a change of %(role)s") % {"role": role},
            "role": role,
            "form": form,
            "found": found,
            "shown": found.differences[:200] if found else [],
        }
        return render(request, "admin/teams/role/rehearse.html", context)

    @display(description=_("allowed"))
    def allowed(self, role: Role) -> str:
        return ", ".join(role.allowed_tools) or "*"

    @display(description=_("denied"))
    def denied(self, role: Role) -> str:
        return ", ".join(role.denied_tools)

    @display(description=_("tools offered"))
    def offered(self, role: Role) -> str:
        return ", ".join(_given(role)["tools"]) if role.pk and not role._state.adding else ""  # noqa: SLF001

    @display(description=_("prompt"))
    def preview(self, role: Role) -> SafeString | str:
        """The system message as the model reads it."""
        if role._state.adding:  # noqa: SLF001
            return str(_("Save the role to see it."))
        return format_html('<pre class="prompt-preview">{}</pre>', _given(role)["prompt"])

    def save_model(self, request: HttpRequest, obj: Role, form: Any, change: bool) -> None:
        told = {name: form.cleaned_data[name] for name in roles.FIELDS}
        try:
            if change:
                roles.change(asker(request), obj.pk, version=form.cleaned_data["seen_version"], **told)
            else:
                obj.pk = roles.create(asker(request), **told).pk
        except OpenInternError as error:
            messages.set_level(request, messages.ERROR)
            messages.error(request, error.message)

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        roles.delete(asker(request), obj.pk)


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


def _given(role: Role) -> dict[str, Any]:
    return given_by(brief_of(role.pk), delegated=Lists())


organization_admin.register(Role, RolePages)
organization_admin.register(Skill, SkillPages)
