"""The form in which a connector is set up. What is secret is written and never shown."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from connectors import connecting
from connectors.feishu.config import CHUNKING, NUMBERS, TOKENS
from connectors.models import Connector
from connectors.models.connector import FEISHU, LONGEST_NAME
from openintern.tenancy.models import Project

_LABELS: Final = {
    "folder_tokens": _("Folders"),
    "wiki_space_ids": _("Wiki spaces"),
    "wiki_node_tokens": _("Wiki pages, with all below them"),
    "file_tokens": _("Documents and spreadsheets"),
    "bitable_app_tokens": _("Table apps"),
    "poll_interval_seconds": _("Seconds between two syncs"),
    "max_docs_per_sync": _("Documents read in one sync at most"),
    "max_records_per_table": _("Records of a table at most"),
    "target_tokens": _("Characters of a passage"),
    "max_tokens": _("Characters of a passage at most"),
    "min_tokens": _("Characters of a passage at least"),
}
_SECRETS: Final = {
    "app_secret": _("App secret"),
    "encrypt_key": _("Encrypt key"),
    "verification_token": _("Verification token"),
}
#: Those without which it syncs as well.
_OF_THE_BOT: Final = ("encrypt_key", "verification_token")


class ConnectorForm(forms.Form):
    """A connector's app, and what it is to bring."""

    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME)
    project = forms.ChoiceField(label=_("Project that shares it"))
    app_id = forms.CharField(label=_("App id"), max_length=100, required=False)
    base_url = forms.CharField(label=_("Address"), max_length=300, initial=FEISHU)

    def __init__(self, connector: Connector | None, projects: list[Project], told: Any = None) -> None:
        super().__init__(told, initial=_said(connector), label_suffix="")
        choices: Any = self.fields["project"]
        choices.choices = [(project.slug, str(project)) for project in projects]
        if connector is not None:
            del self.fields["project"]
        for name, label in _SECRETS.items():
            hint = _("For a bot alone") if name in _OF_THE_BOT else ""
            if connector and getattr(connector, name):
                hint = _("There is one; leave this empty to keep it.")
            widget = forms.PasswordInput({"autocomplete": "off"})
            self.fields[name] = forms.CharField(
                label=label, max_length=connecting.LONGEST_SECRET, required=False, widget=widget, help_text=hint
            )
        for name in TOKENS:
            self.fields[name] = forms.CharField(
                label=_LABELS[name],
                required=False,
                widget=forms.Textarea({"rows": 2}),
                help_text=_("Tokens or addresses, one a line"),
            )
        for name, (least, most, default) in (NUMBERS | CHUNKING).items():
            self.fields[name] = forms.IntegerField(
                label=_LABELS[name], min_value=least, max_value=most, initial=default, required=False
            )
        self.fields["include_comments"] = forms.BooleanField(label=_("With people’s comments"), required=False)
        for field in self.fields.values():
            if not isinstance(field.widget, forms.CheckboxInput):
                field.widget.attrs["class"] = "input"

    def told(self) -> dict[str, Any]:
        """Return what was written, in the words of the API. A secret that wasn't is left as it is."""
        written = self.cleaned_data
        config: dict[str, Any] = {name: written[name].split() for name in TOKENS}
        config |= {name: written[name] for name in NUMBERS if written[name] is not None}
        config["chunking"] = {name: written[name] for name in CHUNKING if written[name] is not None}
        config["include_comments"] = written["include_comments"]
        secrets = {name: written[name] for name in _SECRETS if written[name]}
        return {name: written[name] for name in ("name", "app_id", "base_url")} | secrets | {"config": config}


def _said(connector: Connector | None) -> dict[str, Any]:
    if connector is None:
        return {}
    config = connector.config
    return {
        "name": connector.name,
        "app_id": connector.app_id,
        "base_url": connector.base_url,
        "include_comments": config.get("include_comments", False),
        **{name: "\n".join(config.get(name, [])) for name in TOKENS},
        **{name: config.get(name, default) for name, (_least, _most, default) in NUMBERS.items()},
        **{name: config.get("chunking", {}).get(name, numbers[2]) for name, numbers in CHUNKING.items()},
    }
