"""Whose memory it is: exactly one of a person, a project, a group's board, an agent instance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from openintern.errors import Invalid
from openintern.tenancy.models import Project, User

NAME_LENGTH = 100  # of a board's and an instance's id


@dataclass(frozen=True)
class Owner:
    """Exactly one field is set. Boards and agent instances go by the ids that their rooms gave them."""

    user_id: int | None = None
    project_id: int | None = None
    board: str = ""
    agent: str = ""

    def __post_init__(self) -> None:
        named = [self.user_id is not None, self.project_id is not None, bool(self.board), bool(self.agent)]
        if sum(named) != 1:
            raise Invalid("owner", "A memory has exactly one owner: a person, a project, a board, or an agent instance")
        if max(len(self.board), len(self.agent)) > NAME_LENGTH:
            raise Invalid("owner", f"An owner's id has at most {NAME_LENGTH} characters")

    @classmethod
    def of_user(cls, user: User) -> Owner:
        """A person's own."""
        return cls(user_id=user.pk)

    @classmethod
    def of_project(cls, project: Project) -> Owner:
        """Shared by a project."""
        return cls(project_id=project.pk)

    @property
    def kind(self) -> str:
        """`user`, `project`, `board` or `agent`."""
        if self.user_id is not None:
            return "user"
        if self.project_id is not None:
            return "project"
        return "board" if self.board else "agent"

    def columns(self) -> dict[str, Any]:
        """The values by which a shelf of this owner's is found."""
        return {"user_id": self.user_id, "project_id": self.project_id, "board": self.board, "agent": self.agent}
