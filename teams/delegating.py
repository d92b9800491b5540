"""The tools by which an agent gives work to a team. Which groups there are, and which project they are of, is as the person
sees it for whom the agent works; a group of another project than the run's isn't there for it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from django.db.models import Prefetch, Q, QuerySet
from pydantic import Field

from runs.delegating import delegate
from runs.tools.registry import Answer, ToolContext, ToolError, tool
from teams import groups
from teams.models import Group, Member

_SHOWN: Final = 30


@tool(risk="low", recovery="pure", hazard="none", taints=False)
def list_available_groups(context: ToolContext) -> dict[str, Any]:
    """List the teams that you can give work to with delegate_to_group, and who is in them."""
    found = list(_available(context)[: _SHOWN + 1])
    told: dict[str, Any] = {"groups": [_about(group) for group in found[:_SHOWN]], "count": len(found[:_SHOWN])}
    return told | ({"more": True} if len(found) > _SHOWN else {})


@tool(risk="medium", mutating=True, recovery="keyed", hazard="none", taints=False, answers_later=True)
def delegate_to_group(
    agent: ToolContext,
    group_id: Annotated[str, "Which team, as list_available_groups has it", Field(max_length=40)],
    goal: Annotated[
        str, "What the team is to find out or do: it knows nothing of this conversation", Field(max_length=8_000)
    ],
    context: Annotated[str, "What it has to know for that", Field(max_length=16_000)] = "",
    only_tools: Annotated[
        list[Annotated[str, Field(max_length=64)]],
        "The only ones of your tools that it may use; without: all that you may use yourself",
        Field(max_length=100),
    ] = [],  # noqa: B006  pydantic copies it
) -> Answer:
    """Give work to a team and wait for what it comes to: in `output` is the team's answer.

    It costs many times what a tool of your own costs, and takes minutes: for work that needs several to look at it.
    """
    if not goal.strip():
        raise ToolError("Say what the team is to do")
    if group_id == agent.group_id:
        raise ToolError("You are in this team yourself: ask its members")
    if not _available(agent).filter(pk=group_id).exists():
        raise ToolError("There is no such team; list_available_groups names those that there are")
    text = f"{goal.strip()}\n\nWhat you should know for this:\n{context.strip()}" if context.strip() else goal.strip()
    return delegate(agent, text=text, group_id=group_id, only=only_tools)


def _available(context: ToolContext) -> QuerySet[Group]:
    """The groups in sight that have members, and belong to the run's project or to none."""
    of_project = Q(project=None) | Q(project=context.scope.project)
    staffed = groups.visible(context.scope).filter(of_project, members__isnull=False).distinct().order_by("name")
    members: QuerySet[Member] = Member.objects.select_related("role")
    return staffed.exclude(pk=context.group_id).prefetch_related(Prefetch("members", members))


def _about(group: Group) -> dict[str, Any]:
    members = list(group.members.all())
    lead = groups.lead_of(group, members)
    return {
        "group_id": group.pk,
        "name": group.name,
        "description": group.description,
        "members": [{"role": one.role.name, "is_lead": one == lead} for one in members],
    }
