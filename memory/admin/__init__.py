"""Memories and documents in the organisation's admin: one's own and the projects'; nobody sees there what another person
remembers for themselves. And what memories are embedded with, and how they are tidied up.
"""

from memory.admin import documents, memories, tending

__all__ = ["documents", "memories", "tending"]
