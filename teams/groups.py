"""What groups are: who sees them, who is in them, who leads them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from openintern.errors import NotFound
from openintern.tenancy.scope import Scope
from teams.models import Group, Member


def visible(scope: Scope) -> QuerySet[Group]:
    """Return the groups in sight, newest first."""
    groups: QuerySet[Group] = Group.objects.for_scope(scope)
    return groups.select_related("project", "lead").order_by("-created_at", "-pk")


def find(scope: Scope, group_id: str) -> Group:
    """Return a group, or raise NOT_FOUND for one that isn't there or isn't in sight."""
    group = visible(scope).filter(pk=group_id).first()
    if group is None:
        raise NotFound("Group")
    return group


def members_of(group: Group) -> list[Member]:
    """Return who is in it, in their order, with their roles."""
    return list(group.members.select_related("role", "agent"))


def lead_of(group: Group, members: Sequence[Member]) -> Member | None:
    """Return who leads: the one who was chosen, else the first whose role is a lead, else nobody."""
    chosen = next((one for one in members if one.pk == group.lead_id), None)
    return chosen or next((one for one in members if one.role.is_lead), None)
