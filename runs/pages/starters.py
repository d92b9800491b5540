"""Tasks to begin with: each can be carried out on any workspace, by the demo model too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Starter:
    """A task that is sent as it stands, in the reader's language."""

    icon: str
    task: Any
    about: Any


STARTERS = (
    Starter("folder", _("What files are in this workspace?"), _("Looks through the folders")),
    Starter("file", _("Summarise README.md"), _("Reads a file and tells what matters")),
    Starter("search", _("Search for TODO in all files"), _("Finds every place, with file and line")),
    Starter("pencil", _("Summarise README.md and save it to notes.md"), _("Writes a file into the workspace")),
)
