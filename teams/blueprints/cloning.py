"""A copy of a role or a group beside it, under the next name that is free."""

from __future__ import annotations

from openintern.tenancy.scope import Scope
from teams import groups, roles
from teams.blueprints.exporting import export
from teams.blueprints.importing import install


def clone_role(scope: Scope, role_id: str) -> str:
    """Copy a role; return the copy's id. Raises NOT_FOUND, or CONFLICT where there are too many."""
    found = export(scope, role_ids=[roles.find(role_id).pk], group_ids=[])
    return install(scope, found, existing="copy", source=role_id)[0].object_id


def clone_group(scope: Scope, group_id: str) -> str:
    """Copy a group of the same roles; return the copy's id. Raises NOT_FOUND, or CONFLICT where there are too many."""
    found = export(scope, role_ids=[], group_ids=[groups.find(scope, group_id).pk])
    return install(scope, found.model_copy(update={"roles": []}), existing="copy", source=group_id)[0].object_id
