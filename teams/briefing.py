"""What roles, skills and groups bring into a run, in the words of the port that runs have for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from openintern.errors import Invalid
from openintern.tenancy.scope import Scope
from runs.briefs import Brief, MemberBrief, SkillBrief, TeamBrief
from runs.tools.policy import Lists, Mandate
from runs.tools.registry import Risk, tools
from teams import groups, roles
from teams.models import Group, Member, Role, Skill, SkillVersion
from teams.orchestrator import telling

_ORDER: Final[tuple[Risk, ...]] = ("low", "medium", "high")


class Desk:
    """Answers what runs ask about roles, skills and groups; see `runs.briefs.Source`."""

    def brief(self, role_id: str) -> Brief:
        """Return the brief of a role, or for "" that of an agent without one."""
        role = roles.find(role_id) if role_id else None
        rows: Any = Skill.objects
        skills = list(rows.in_force().prefetch_related("roles").order_by("name"))
        granted = [skill for skill in skills if role and role in skill.roles.all()]
        mandate = Mandate(
            role=Lists(allowed=tuple(role.allowed_tools), denied=tuple(role.denied_tools)) if role else Lists(),
            skills={skill.pk: tuple(_said(skill).tool_names) for skill in skills},
            granted=tuple(skill.pk for skill in granted),
            risks=risks(skills),
        )
        given = tuple(_brief_of(skill) for skill in skills if skill.is_for_everybody or skill in granted)
        if role is None:
            return Brief(mandate=mandate, skills=given)
        return Brief(
            role={"id": role.pk, "name": role.name, "version": role.version},
            prompt=role.system_prompt,
            style=role.style_constraints,
            model=role.llm_config,
            mandate=mandate,
            skills=given,
        )

    def choices(self) -> list[tuple[str, str]]:
        """Return the organisation's roles by name."""
        return list(Role.objects.order_by("name").values_list("pk", "name"))

    def team(self, scope: Scope, group_id: str) -> TeamBrief:
        """Return the brief of a group in sight. Raises NOT_FOUND, and VALIDATION_ERROR for one without members."""
        group = groups.find(scope, group_id)
        members = groups.members_of(group)
        if not members:
            raise Invalid("group_id", "The group has no members")
        lead = groups.lead_of(group, members)
        return TeamBrief(
            id=group.pk,
            name=group.name,
            project=group.project,
            mode=group.mode,
            quorum=group.quorum,
            max_rounds=group.max_rounds,
            on_member_failure=group.on_member_failure,
            members=tuple(
                self._member(group, one, place, members=members, lead=lead) for place, one in enumerate(members)
            ),
        )

    def team_choices(self, scope: Scope) -> list[tuple[str, str]]:
        """Return the groups in sight that have members, by name."""
        staffed = groups.visible(scope).filter(members__isnull=False).order_by("name")
        return list(staffed.values_list("pk", "name").distinct())

    def _member(
        self, group: Group, member: Member, place: int, *, members: Sequence[Member], lead: Member | None
    ) -> MemberBrief:
        others = [(one.role.name, one == lead) for one in members if one != member]
        return MemberBrief(
            id=member.pk,
            agent_id=member.agent_id,
            name=member.role.name,
            ordinal=place,
            is_lead=member == lead,
            brief=self.brief(member.role_id),
            membership=telling.membership(member.role.name, team=group.name, others=others, leads=member == lead),
        )


def risks(skills: Iterable[Skill]) -> dict[str, Risk]:
    """Return the tools that skills make more risky than they say of themselves, or, by an admin's word, less."""
    by_tool: dict[str, list[Skill]] = {}
    for skill in skills:
        for name in _said(skill).tool_names:
            by_tool.setdefault(name, []).append(skill)
    return {name: _risk(name, holders) for name, holders in by_tool.items() if name in tools()}


def _risk(name: str, holders: list[Skill]) -> Risk:
    """The highest of what its skills say; the tool's own stays the least, unless an admin has let go of it."""
    said: list[Risk] = [_said(skill).risk_level for skill in holders]  # type: ignore[misc]
    is_let_go = any(skill.lowers_risk for skill in holders)
    return max(said if is_let_go else [*said, tools()[name].risk], key=_ORDER.index)


def _said(skill: Skill) -> SkillVersion:
    """What of it is in force."""
    if skill.enabled is None:
        raise ValueError(f"{skill.pk} isn't enabled")
    return skill.enabled


def _brief_of(skill: Skill) -> SkillBrief:
    said = _said(skill)
    return SkillBrief(
        id=skill.pk,
        name=skill.name,
        description=said.description,
        version=said.number,
        provider=said.provider,
        risk=said.risk_level,
        tools=tuple(said.tool_names),
        is_implicit=said.allow_implicit_invocation,
    )
