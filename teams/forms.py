"""The form in which a skill is written on its pages, and what forms of tools are made of."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from runs.tools.registry import tools
from teams.models import Role, Skill, SkillVersion


def tool_choices(kept: list[str]) -> list[tuple[str, str]]:
    """Return what a list of tools can be made of: every tool, and what stands in the list already."""
    known = [(tool.name, f"{tool.name} ({tool.risk})") for tool in tools().values()]
    known += [(f"skill:{skill_id}", f"skill: {name}") for skill_id, name in Skill.objects.values_list("pk", "name")]
    names = {name for name, _label in known}
    return [*known, *((entry, entry) for entry in kept if entry not in names)]


class SkillForm(forms.Form):
    """A skill's name, what it says, its tools, and who gets it."""

    name = forms.CharField(label=_("Name"), max_length=100)
    description = forms.CharField(label=_("Description"), max_length=2000, required=False)
    text = forms.CharField(
        label=_("What it says"),
        required=False,
        widget=forms.Textarea({"rows": 10, "dir": "auto"}),
        help_text=_("Agents read it when they need it."),
    )
    tools = forms.MultipleChoiceField(label=_("Tools"), required=False, widget=forms.CheckboxSelectMultiple)
    risk_level = forms.ChoiceField(label=_("Risk"), choices=SkillVersion.Risk.choices)
    provider = forms.ChoiceField(label=_("Provider"), choices=SkillVersion.Provider.choices)
    roles = forms.MultipleChoiceField(
        label=_("Roles that get it, and its tools"), required=False, widget=forms.CheckboxSelectMultiple
    )
    is_for_everybody = forms.BooleanField(label=_("Every agent is told of it"), required=False)
    allow_implicit_invocation = forms.BooleanField(label=_("Agents may load it unasked"), required=False)
    lowers_risk = forms.BooleanField(
        label=_("Its risk holds even where it is lower than the tool’s own"), required=False
    )
    is_enabled = forms.BooleanField(label=_("In force: agents get this version"), required=False)

    def __init__(self, skill: Skill | None, told: Any = None) -> None:
        super().__init__(told, initial=_said(skill), label_suffix="")
        kept = skill.current.tool_names if skill and skill.current else []
        names = [*tools(), *(name for name in kept if name not in tools())]
        choices: dict[str, list[tuple[str, str]]] = {
            "tools": [(name, name) for name in names],
            "roles": list(Role.objects.order_by("name").values_list("pk", "name")),
        }
        for name, values in choices.items():
            field: Any = self.fields[name]
            field.choices = values
        if not choices["roles"]:
            self.fields["roles"].help_text = _("There is no role yet.")
        self._older_is_in_force = bool(skill and skill.enabled and not skill.is_in_force)
        self._tools = {tool["name"]: tool for tool in skill.current.tools} if skill and skill.current else {}

    def told(self) -> dict[str, Any]:
        """Return what was written, in the words of `teams.skills`."""
        told = dict(self.cleaned_data)
        if self._older_is_in_force and not told["is_enabled"]:
            told["is_enabled"] = None  # an imported version still waits
        told["tools"] = [self._tools.get(name, {"name": name}) for name in told["tools"]]
        return told


def _said(skill: Skill | None) -> dict[str, Any]:
    if skill is None or skill.current is None:
        return {"is_for_everybody": True, "is_enabled": True}
    current = skill.current
    return {
        "name": skill.name,
        "description": current.description,
        "text": current.text,
        "tools": current.tool_names,
        "risk_level": current.risk_level,
        "provider": current.provider,
        "roles": [role.pk for role in skill.roles.all()],
        "is_for_everybody": skill.is_for_everybody,
        "allow_implicit_invocation": current.allow_implicit_invocation,
        "lowers_risk": skill.lowers_risk,
        "is_enabled": skill.is_in_force,
    }
