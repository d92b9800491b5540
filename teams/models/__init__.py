"""Who works for an organisation, and what they know: its roles, groups, boards and skills, in its own schema."""

from teams.models.board import BoardEntry, BoardVersion
from teams.models.group import AgentInstance, Group, Member
from teams.models.role import Role
from teams.models.skill import Skill, SkillVersion

__all__ = ["AgentInstance", "BoardEntry", "BoardVersion", "Group", "Member", "Role", "Skill", "SkillVersion"]
