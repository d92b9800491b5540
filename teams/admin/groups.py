"""Groups and agent instances in the organisation's admin: who is in a team, in which order, who leads, what they see."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import TabularInline, action, display
from django.db.models import Count, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from openintern.administration import OrganizationPages, ReadOnlyPages, asker, for_each
from openintern.errors import OpenInternError
from openintern.sites import organization_admin
from openintern.tenancy.identity import may
from openintern.tenancy.scope import Scope
from teams import group_runs, groups, members, previews
from teams.admin.parts import asked_by, asker_of, history_of, is_new, runs_of, tell
from teams.blueprints.cloning import clone_group
from teams.blueprints.exporting import export
from teams.models import AgentInstance, Group, Member
from teams.rest.blueprints import download

_MOVES = {"up": -1, "down": 1}


class GroupForm(forms.ModelForm[Group]):
    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Group
        fields = [*groups.FIELDS, "project", "lead"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen_version"] = self.instance.version
        lead: Any = self.fields["lead"]
        lead.queryset = Member.objects.filter(group=self.instance.pk).select_related("role")
        lead.label_from_instance = lambda member: member.role.name

    def clean(self) -> dict[str, Any]:
        """Hold what was written against the rules of the domain, so that a mistake stands beside its field."""
        written = super().clean() or self.cleaned_data
        try:
            groups.check({name: written[name] for name in groups.FIELDS if name in written})
        except OpenInternError as error:
            field = str((error.details or {}).get("field", ""))
            self.add_error(field if field in self.fields else None, error.message)
        return written


class MemberInline(TabularInline[Member, Group]):
    """Who is in the group; a place is a number, and the arrows move by one."""

    model = Member
    fk_name = "group"
    fields = ["role", "ordinal", "agent_id", "move"]
    readonly_fields = ["agent_id", "move"]
    extra = 1
    max_num = groups.MOST_MEMBERS
    verbose_name_plural = _("members")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "read")  # type: ignore[arg-type]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "change")  # type: ignore[arg-type]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "change")  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "change")  # type: ignore[arg-type]

    @display(description=_("agent"))
    def agent_id(self, member: Member) -> str:
        return member.agent_id or ""

    @display(description=_("move"))
    def move(self, member: Member) -> SafeString | str:
        if is_new(member):
            return ""
        buttons = [
            (way, member.pk, label, sign) for way, label, sign in (("up", _("up"), "↑"), ("down", _("down"), "↓"))
        ]
        return format_html_join(
            " ", '<button name="_move" value="{}:{}" aria-label="{}" formnovalidate>{}</button>', buttons
        )


class GroupPages(OrganizationPages[Group]):
    """Teams. Runs that have begun keep what they began with."""

    form = GroupForm
    inlines = [MemberInline]
    list_display = ["name", "project", "member_count", "lead_name", "mode", "max_rounds", "version", "updated_at"]
    list_filter = ["mode", "on_member_failure"]
    list_select_related = ["project", "lead__role"]
    search_fields = ["name", "description"]
    readonly_fields = ["preview", "stats", "past"]
    fieldsets = [
        (None, {"fields": ["name", "description", "project", "lead", "seen_version"]}),
        (_("How they work"), {"fields": ["mode", "quorum", "max_rounds", "on_member_failure"]}),
        (_("What the model will see"), {"fields": ["preview"], "classes": ["collapse"]}),
        (_("What came of it"), {"fields": ["stats", "past"]}),
    ]
    change_list_template = "admin/teams/change_list.html"
    actions = ["clone", "export_as_yaml"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(member_count=Count("members"))

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's own deletion, which would ask no rule of ours."""
        return {name: one for name, one in super().get_actions(request).items() if name != "delete_selected"}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "create")  # type: ignore[arg-type]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "change")  # type: ignore[arg-type]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, "group", "delete")  # type: ignore[arg-type]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the organisation's own projects: their table is everybody's."""
        if db_field.name == "project":
            kwargs["queryset"] = asker(request).org.projects.order_by("name", "slug")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Move a member where an arrow was pressed; else what Django does."""
        way, _colon, member_id = request.POST.get("_move", "").partition(":")
        if way in _MOVES and self.has_change_permission(request):
            tell(request, lambda: members.move(asker(request), object_id, member_id, by=_MOVES[way]))
            return HttpResponseRedirect(request.path)
        return super().change_view(request, object_id, form_url, extra_context)

    @display(description=_("members"), ordering="member_count")
    def member_count(self, group: Group) -> int:
        return int(getattr(group, "member_count", 0))

    @display(description=_("lead"))
    def lead_name(self, group: Group) -> str:
        return group.lead.role.name if group.lead else ""

    @display(description=_("prompt"))
    def preview(self, group: Group) -> SafeString | str:
        """The system message of each member as the model reads it."""
        seen = [] if is_new(group) else previews.of_members(asker_of(group), group)
        if not seen:
            return str(_("Save a group with members to see it."))
        rows = [(one.name, " ★" if one.is_lead else "", ", ".join(one.tools), one.prompt) for one in seen]
        return format_html_join("", '<h4>{}{}</h4><p>{}</p><pre class="prompt-preview">{}</pre>', rows)

    @display(description=_("runs"))
    def stats(self, group: Group) -> SafeString | str:
        if is_new(group):
            return ""
        return runs_of(group_runs.stats(asker_of(group), group.pk), page=reverse("team-group", args=[group.pk]))

    @display(description=_("history"))
    def past(self, group: Group) -> SafeString | str:
        return "" if is_new(group) else history_of(asker_of(group), group.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Group | None:
        """Note on the row for whom its page is made: what it shows is what they may see."""
        return asked_by(request, super().get_object(request, object_id, from_field))

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        written = {name: form.cleaned_data[name] for name in (*groups.FIELDS, "project")}
        lead = form.cleaned_data.get("lead")

        def keep() -> None:
            if change:
                version = form.cleaned_data["seen_version"]
                groups.change(asker(request), obj.pk, version=version, lead_id=lead and lead.pk, **written)
            else:
                obj.pk = groups.create(asker(request), **written).pk

        obj.is_refused = not tell(request, keep)  # type: ignore[attr-defined]

    def save_formset(
        self, request: HttpRequest, form: Any, formset: BaseInlineFormSet[Any, Any, Any], change: bool
    ) -> None:
        """Take in, move and take out who was written down; nobody where the group itself was refused."""
        group: Any = form.instance
        if not group.is_refused:
            tell(request, lambda: _seat(asker(request), group.pk, formset))
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        groups.delete(asker(request), obj.pk)

    @action(description=_("Copy the selected groups"))
    def clone(self, request: HttpRequest, chosen: QuerySet[Group]) -> None:
        for_each(request, chosen, lambda group: clone_group(asker(request), group.pk))

    @action(description=_("Export the selected groups as YAML"))
    def export_as_yaml(self, request: HttpRequest, chosen: QuerySet[Group]) -> HttpResponse:
        ids = list(chosen.values_list("pk", flat=True))
        return download(export(asker(request), role_ids=[], group_ids=ids), "yaml")


class AgentPages(ReadOnlyPages[AgentInstance]):
    """Roles at work in projects, each with a memory of its own."""

    list_display = ["id", "role", "project", "group_names", "created_at"]
    list_select_related = ["role", "project"]
    search_fields = ["id", "role__name"]
    fields = ["id", "role", "project", "group_names", "created_at"]

    @display(description=_("groups"))
    def group_names(self, agent: AgentInstance) -> str:
        return ", ".join(Group.objects.filter(members__agent=agent).order_by("name").values_list("name", flat=True))


def _seat(scope: Scope, group_id: str, formset: BaseInlineFormSet[Any, Any, Any]) -> None:
    written = formset.save(commit=False)
    for gone in formset.deleted_objects:
        members.remove(scope, group_id, gone.pk)
    for member in written:
        if member._state.adding:  # noqa: SLF001
            members.add(scope, group_id, role_id=member.role_id, ordinal=member.ordinal or None)
        else:
            members.place(scope, group_id, member.pk, ordinal=member.ordinal)


organization_admin.register(Group, GroupPages)
organization_admin.register(AgentInstance, AgentPages)
