"""Who works for an organisation, and what they know: its roles and skills, in its own schema."""

from teams.models.role import Role
from teams.models.skill import Skill, SkillVersion

__all__ = ["Role", "Skill", "SkillVersion"]
