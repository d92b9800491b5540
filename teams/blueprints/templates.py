"""The teams that are shipped, each a document in `data/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from openintern.errors import NotFound
from teams.blueprints.document import Blueprint, read

_FOLDER: Final = Path(__file__).parent / "data"


@cache
def templates() -> dict[str, Blueprint]:
    """Return the templates by the names by which they are installed."""
    return {path.stem: read(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.yaml"))}


def template(name: str) -> Blueprint:
    """Return a template, or raise NOT_FOUND."""
    try:
        return templates()[name]
    except KeyError as error:
        raise NotFound("Template") from error
