"""An empty conversation: what there is to work on, and tasks to begin with that fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from openintern.tenancy.scope import Scope
from runs.tools.workspace import Entry, Workspace

SHOWN = 8


@dataclass(frozen=True)
class Starter:
    """A task that is sent as it stands, in the reader's language."""

    icon: str
    task: str
    about: str


@dataclass(frozen=True)
class Welcome:
    """What the first page of a workspace tells: `names` of some of what is in it, and where it lies on the server."""

    starters: list[Starter]
    names: list[str]
    is_longer: bool
    path: str


def welcome(scope: Scope) -> Welcome | None:
    """Look into the workspace. None where it can't be opened: files may live on the workers' machine alone."""
    try:
        with Workspace.for_scope(scope) as workspace:
            entries, path = workspace.entries(), str(workspace.path)
    except OSError:
        return None
    names = [entry.name + ("/" if entry.type == "directory" else "") for entry in entries[:SHOWN]]
    return Welcome(_starters(entries), names, len(entries) > SHOWN, path)


def _starters(entries: Sequence[Entry]) -> list[Starter]:
    """Tasks that can be carried out on just these files, by the demo model too."""
    if not entries:
        return [
            Starter("chat", _("What can you do?"), _("Says what there is to ask")),
            Starter("pencil", _('Write "buy milk" to todo.md'), _("Writes a first file into the workspace")),
        ]
    file = _best_known(entries)
    return [
        Starter("folder", _("What files are in this workspace?"), _("Looks through the folders")),
        *(
            [Starter("file", _("Summarise %(file)s") % {"file": file}, _("Reads a file and tells what matters"))]
            if file
            else []
        ),
        Starter("search", _("Search for TODO in all files"), _("Finds every place, with file and line")),
        *(
            [
                Starter(
                    "pencil",
                    _("Summarise %(file)s and save it to notes.md") % {"file": file},
                    _("Writes a file into the workspace"),
                )
            ]
            if file
            else []
        ),
    ]


def _best_known(entries: Sequence[Entry]) -> str:
    """Return the file a stranger would open first; "" if there is none."""
    files = [entry.name for entry in entries if entry.type == "file"]
    preferred = [name for name in files if name.lower().startswith("readme")] or [
        name for name in files if name.endswith((".md", ".txt"))
    ]
    return next(iter([*preferred, *files]), "")
