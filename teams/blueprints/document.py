"""The document: roles and groups by name, as YAML or JSON. It holds no ids, so that it fits any organisation."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openintern.errors import Invalid, OpenInternError
from openintern.text import storable
from teams import plain_yaml
from teams.groups import MOST as MOST_GROUPS
from teams.groups import MOST_MEMBERS
from teams.roles import MOST as MOST_ROLES

MOST_CHARACTERS: Final = 2_000_000
Form = Literal["yaml", "json"]
_Name = Annotated[str, Field(max_length=200)]
_Entries = Annotated[list[_Name], Field(max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RolePart(_Part):
    """A role; see `teams.roles` for what its fields may be."""

    name: _Name
    description: str = ""
    system_prompt: str
    allowed_tools: _Entries = []
    denied_tools: _Entries = []
    style_constraints: dict[str, Any] = {}
    model: str = ""
    is_lead: bool = False


class GroupPart(_Part):
    """A group: its members and its lead are names of roles, its project is a project's slug or null."""

    name: _Name
    description: str = ""
    project: str | None = None
    mode: str = "serial"
    quorum: int | None = None
    max_rounds: int = 3
    on_member_failure: str = "continue"
    members: Annotated[list[_Name], Field(max_length=MOST_MEMBERS)] = []
    lead: _Name | None = None


class Blueprint(_Part):
    """The whole. `title` and `description` are for those who choose among templates."""

    format: Literal["openintern/teams"]
    version: Literal[1] = 1
    title: _Name = ""
    description: str = ""
    roles: Annotated[list[RolePart], Field(max_length=MOST_ROLES)] = []
    groups: Annotated[list[GroupPart], Field(max_length=MOST_GROUPS)] = []


def read(text: str) -> Blueprint:
    """Return what a YAML or JSON text says.

    Raises TOO_LARGE, UNKNOWN_FIELD for a field that isn't of the format, VALIDATION_ERROR for anything else.
    """
    if len(text) > MOST_CHARACTERS:
        raise OpenInternError("TOO_LARGE", f"A document has at most {MOST_CHARACTERS} characters")
    try:
        told = json.loads(text) if text.lstrip().startswith("{") else plain_yaml.load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise Invalid("document", "Must be YAML (without references) or JSON") from error
    return checked(told)


def checked(told: Any) -> Blueprint:
    """Return a document that was read already. Raises as `read`."""
    if not isinstance(told, dict):
        raise Invalid("document", "Must name fields")
    try:
        is_fit = storable(told) == told
    except RecursionError as error:
        raise Invalid("document", "Must not be nested so deeply") from error
    if not is_fit:
        raise Invalid("document", "Must not hold NUL characters or lone surrogates")
    try:
        blueprint = Blueprint.model_validate(told)
    except ValidationError as error:
        raise _refusal(error) from error
    for name in ("roles", "groups"):
        _require_names_once(name, [part.name for part in getattr(blueprint, name)])
    for place, group in enumerate(blueprint.groups):
        _require_names_once(f"groups.{place}.members", group.members)
        if group.lead is not None and group.lead not in group.members:
            raise Invalid(f"groups.{place}.lead", "Must be one of the members")
    return blueprint


def written(blueprint: Blueprint, form: Form) -> str:
    """Return a document as text."""
    told = blueprint.model_dump()
    if form == "json":
        return json.dumps(told, ensure_ascii=False, indent=2) + "\n"
    return plain_yaml.written(told)


def _refusal(error: ValidationError) -> OpenInternError:
    """The first of pydantic's complaints in our words; what was sent is not repeated."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part)[:100] for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return OpenInternError("UNKNOWN_FIELD", f"There is no field {field}", details={"field": field})
    return Invalid(field or "document", first["msg"])


def _require_names_once(field: str, names: list[str]) -> None:
    for place, name in enumerate(names):
        if name in names[:place]:
            raise Invalid(f"{field}.{place}", "Stands there twice")
