"""From roles and groups to a document."""

from __future__ import annotations

from collections.abc import Collection

from openintern.tenancy.scope import Scope
from teams import groups, roles
from teams.blueprints.document import Blueprint, GroupPart, RolePart
from teams.models import Group, Member, Role


def export(
    scope: Scope, *, role_ids: Collection[str] | None = None, group_ids: Collection[str] | None = None
) -> Blueprint:
    """Return what is in sight as a document: all, or the roles and groups named. Groups bring their roles.

    Who isn't there is passed over, as where several are removed.
    """
    everything = role_ids is None and group_ids is None
    chosen = groups.visible(scope).prefetch_related("members__role").order_by("name")
    if not everything:
        chosen = chosen.filter(pk__in=group_ids or [])
    teams = list(chosen)
    wanted = {member.role_id for group in teams for member in group.members.all()} | set(role_ids or [])
    rows = roles.all_roles().order_by("name")
    return Blueprint(
        format="openintern/teams",
        roles=[_role(role) for role in (rows if everything else rows.filter(pk__in=wanted))],
        groups=[_group(group, list(group.members.all())) for group in teams],
    )


def _role(role: Role) -> RolePart:
    return RolePart(**{name: getattr(role, name) for name in roles.FIELDS})


def _group(group: Group, members: list[Member]) -> GroupPart:
    lead = next((member for member in members if member.pk == group.lead_id), None)
    return GroupPart(
        **{name: getattr(group, name) for name in groups.FIELDS},
        project=group.project.slug if group.project else None,
        members=[member.role.name for member in members],
        lead=lead.role.name if lead else None,
    )
