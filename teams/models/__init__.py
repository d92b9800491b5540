"""Who works for an organisation, and what they know: its roles, groups and skills, in its own schema."""

from teams.models.group import AgentInstance, Group, Member
from teams.models.role import Role
from teams.models.skill import Skill, SkillVersion

__all__ = ["AgentInstance", "Group", "Member", "Role", "Skill", "SkillVersion"]
