"""The forms in which roles and groups are written on their pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from openintern.errors import OpenInternError
from openintern.tenancy.models import Project
from openintern.tenancy.scope import Scope
from runs.models import SESSION_KEY_PATTERN
from teams import groups, roles
from teams.blueprints.planning import CHOICES
from teams.forms import tool_choices
from teams.models import Group, Role
from teams.models.group import MOST_ROUNDS
from teams.style_field import StyleField


class VersionedForm(forms.Form):
    """A form that knows which version was read when it was opened."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=1)

    def refuse(self, error: OpenInternError) -> None:
        """Show a refusal of the domain beside its field, or above all of them."""
        field = str((error.details or {}).get("field", "")).split(".")[0]
        self.add_error(field if field in self.fields else None, gettext(error.message))


class RoleForm(VersionedForm):
    """What an agent is told, and what it may do."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(label=_("Description"), max_length=2000, required=False)
    system_prompt = forms.CharField(
        label=_("Prompt"),
        max_length=roles.LONGEST_PROMPT,
        strip=False,
        widget=forms.Textarea({"rows": 12, "dir": "auto"}),
        help_text=_("Who the agent is, how it works, what it hands over. Tools and skills are added by themselves."),
    )
    model = forms.CharField(
        label=_("Model"), max_length=250, required=False, help_text=_("PROVIDER/MODEL; empty: the default")
    )
    is_lead = forms.BooleanField(label=_("Leads a team, where nobody else was chosen"), required=False)
    allowed_tools = forms.MultipleChoiceField(
        label=_("Allowed tools (none chosen: all that nothing else forbids)"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    denied_tools = forms.MultipleChoiceField(
        label=_("Denied tools"), required=False, widget=forms.CheckboxSelectMultiple
    )
    style_constraints = StyleField(label=_("Style"))

    def __init__(self, role: Role | None, told: Any = None) -> None:
        said = {name: getattr(role, name) for name in (*roles.FIELDS, "version")} if role else {"style_constraints": {}}
        super().__init__(told, initial=said, label_suffix="")
        for name in ("allowed_tools", "denied_tools"):
            field: Any = self.fields[name]
            field.choices = tool_choices(getattr(role, name) if role else [])

    def told(self) -> dict[str, Any]:
        """Return what was written, in the words of `teams.roles`."""
        return {**self.cleaned_data, "style_constraints": self.cleaned_data["style_constraints"] or {}}


class GroupForm(VersionedForm):
    """A team's name and how it works."""

    name = forms.CharField(label=_("Name"), max_length=groups.TEXTS["name"])
    description = forms.CharField(label=_("Description"), max_length=groups.TEXTS["description"], required=False)
    project = forms.ModelChoiceField(
        Project.objects.none(),
        label=_("Project"),
        required=False,
        empty_label=_("none: everybody sees the group"),
        to_field_name="slug",
    )
    mode = forms.ChoiceField(label=_("How they work"), choices=Group.Mode.choices, initial=Group.Mode.SERIAL)
    quorum = forms.IntegerField(
        label=_("Quorum"),
        required=False,
        min_value=1,
        max_value=groups.MOST_MEMBERS,
        help_text=_("At once: for how many the lead waits; empty: for all"),
    )
    max_rounds = forms.IntegerField(label=_("Rounds"), min_value=1, max_value=MOST_ROUNDS, initial=3)
    on_member_failure = forms.ChoiceField(
        label=_("When a member fails"), choices=Group.OnFailure.choices, initial=Group.OnFailure.CONTINUE
    )

    def __init__(self, scope: Scope, group: Group | None, told: Any = None) -> None:
        said = {name: getattr(group, name) for name in (*groups.FIELDS, "version")} if group else {}
        said["project"] = group.project.slug if group and group.project else scope.project
        super().__init__(told, initial=said, label_suffix="")
        field: Any = self.fields["project"]
        field.queryset = scope.org.projects.order_by("name", "slug")


class TaskForm(forms.Form):
    """A task for a team."""

    input = forms.CharField(label=_("Task"), strip=False, widget=forms.Textarea({"rows": 4, "dir": "auto"}))
    session_key = forms.RegexField(
        SESSION_KEY_PATTERN,
        label=_("Conversation"),
        required=False,
        help_text=_("Empty: a new one. The tasks of a conversation are worked on one after the other."),
    )

    def __init__(self, told: Any = None) -> None:
        super().__init__(told, label_suffix="")


class ImportForm(forms.Form):
    """A document to import: a file, or the text of one that was looked at already."""

    file = forms.FileField(label=_("A YAML or JSON file"), required=False)
    text = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    existing = forms.ChoiceField(
        label=_("Names that are taken"),
        choices=list(
            zip(CHOICES, (_("leave what is there"), _("make it as the document says"), _("make a copy")), strict=True)
        ),
    )

    def __init__(self, told: Any = None, files: Any = None) -> None:
        super().__init__(told, files, label_suffix="")
