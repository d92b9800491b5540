"""What people fill in on the pages of memories."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from memory.models import Memory, Tier
from memory.writing import LONGEST_TEXT
from openintern.tenancy.models import Project

#: Characters that a page lets somebody edit; what is longer comes from a document and is replaced there.
EDITABLE = 50_000
_FOR_ONESELF = ""


class _MemoryForm(forms.Form):
    text = forms.CharField(
        label=_("What is to be remembered"),
        max_length=LONGEST_TEXT,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "class": "input", "dir": "auto"}),
    )
    tier = forms.ChoiceField(
        label=_("Tier"),
        choices=Tier.choices,
        initial=Tier.CORE,
        widget=forms.Select(attrs={"class": "input"}),
        help_text=_("core: what always matters; episodic: what happened; archival: what is looked up"),
    )
    importance = forms.FloatField(
        label=_("Importance, 0 to 1"),
        initial=0.5,
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "0.1", "class": "input"}),
    )


class NewMemory(_MemoryForm):
    """Something to remember, for oneself or for a project."""

    project = forms.ChoiceField(label=_("For"), required=False, widget=forms.Select(attrs={"class": "input"}))

    def __init__(self, *args: Any, projects: list[Project], project: Project | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.auto_id = "new-%s"  # the page has other forms
        choices = [(_FOR_ONESELF, _("me alone")), *((project.slug, str(project)) for project in projects)]
        self.fields["project"].choices = choices  # type: ignore[attr-defined]
        self.fields["project"].initial = project.slug if project else _FOR_ONESELF


class Correction(_MemoryForm):
    """A memory's text, tier and importance as they are to be."""

    @classmethod
    def of(cls, memory: Memory) -> Correction:
        """The form as it stands before somebody changes it."""
        return cls(initial={"text": memory.text, "tier": memory.tier, "importance": memory.importance})

    def changed(self, memory: Memory) -> dict[str, Any]:
        """Return what was changed; browsers send line ends of their own."""
        given = {**self.cleaned_data, "text": self.cleaned_data["text"].replace("\r\n", "\n")}
        return {name: value for name, value in given.items() if value != getattr(memory, name)}
