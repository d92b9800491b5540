"""Roles, groups, boards and skills in the organisation's admin."""

from teams.admin import boards, groups, roles, skills

__all__ = ["boards", "groups", "roles", "skills"]
