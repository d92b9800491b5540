"""Roles: what agents are told and may do, what a run of theirs is given, what another policy would have changed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
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

from openintern.administration import OrganizationPages, asker, for_each
from openintern.errors import OpenInternError
from openintern.sites import organization_admin
from openintern.tenancy.identity import may
from runs.rehearsal import MOST_DAYS, Change, rehearse
from teams import previews, roles
from teams.admin.parts import asked_by, asker_of, history_of, is_new, runs_of, tell
from teams.blueprints.cloning import clone_role
from teams.blueprints.exporting import export
from teams.forms import tool_choices
from teams.models import Role
from teams.rest.blueprints import download
from teams.style_field import StyleField


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
    style_constraints = StyleField(label=_("Style"))
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
        (_("What came of it"), {"fields": ["stats", "past"]}),
    ]
    readonly_fields = ["offered", "preview", "stats", "past"]
    change_list_template = "admin/teams/change_list.html"
    actions = ["clone", "export_as_yaml"]

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's own deletion, which would ask no rule of ours."""
        return {name: one for name, one in super().get_actions(request).items() if name != "delete_selected"}

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
        return "" if is_new(role) else ", ".join(previews.of_role(role.pk).tools)

    @display(description=_("prompt"))
    def preview(self, role: Role) -> SafeString | str:
        """The system message as the model reads it."""
        if is_new(role):
            return str(_("Save the role to see it."))
        return format_html('<pre class="prompt-preview">{}</pre>', previews.of_role(role.pk).prompt)

    @display(description=_("runs"))
    def stats(self, role: Role) -> SafeString | str:
        return (
            ""
            if is_new(role)
            else runs_of(roles.stats(asker_of(role), role.pk), page=reverse("team-role", args=[role.pk]))
        )

    @display(description=_("history"))
    def past(self, role: Role) -> SafeString | str:
        return "" if is_new(role) else history_of(asker_of(role), role.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Role | None:
        """Note on the row for whom its page is made: what it shows is what they may see."""
        return asked_by(request, super().get_object(request, object_id, from_field))

    def save_model(self, request: HttpRequest, obj: Role, form: Any, change: bool) -> None:
        told = {name: form.cleaned_data[name] for name in roles.FIELDS}

        def keep() -> None:
            if change:
                roles.change(asker(request), obj.pk, version=form.cleaned_data["seen_version"], **told)
            else:
                obj.pk = roles.create(asker(request), **told).pk

        tell(request, keep)

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        roles.delete(asker(request), obj.pk)

    @action(description=_("Copy the selected roles"))
    def clone(self, request: HttpRequest, chosen: QuerySet[Role]) -> None:
        for_each(request, chosen, lambda role: clone_role(asker(request), role.pk))

    @action(description=_("Export the selected roles as YAML"))
    def export_as_yaml(self, request: HttpRequest, chosen: QuerySet[Role]) -> HttpResponse:
        return download(
            export(asker(request), role_ids=list(chosen.values_list("pk", flat=True)), group_ids=[]), "yaml"
        )


organization_admin.register(Role, RolePages)
