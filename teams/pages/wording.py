"""How the pages call what was done to a role or a group."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from teams.history import Entry

_ACTIONS: Final[dict[str, Any]] = {
    "role.create": _("made it"),
    "role.change": _("changed it"),
    "group.create": _("made it"),
    "group.change": _("changed it"),
    "group.add_member": _("took in a member"),
    "group.place_member": _("gave a member another place"),
    "group.reorder": _("put the members into another order"),
    "group.remove_member": _("took out a member"),
}


def told(entries: list[Entry]) -> list[dict[str, Any]]:
    """Return entries of a history with their action in words and what it concerned."""
    return [
        {"at": entry.at, "by": entry.by, "said": _ACTIONS.get(entry.action, entry.action), "about": _about(entry)}
        for entry in entries
    ]


def _about(entry: Entry) -> str:
    details = entry.details
    if "fields" in details:
        return ", ".join(details["fields"])
    if "order" in details:
        return " → ".join(details["order"])
    return str(details.get("role") or details.get("name") or "")
