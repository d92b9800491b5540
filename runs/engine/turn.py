"""A turn: the stretch of a run's log in which one agent works, and all that the engine has to know of that agent.

A run of a single agent is one turn. Where several work on a run (`runs.programs`), each turn begins with an event that
the program writes, and goes to the beginning of the next: what is said in it is the agent's conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runs.models import Run


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Who is at work, with which configuration, from which event and step on.

    `brief` is what the agent is told beside the task: what others did before it, what is asked of it.
    """

    agent_id: str
    config: Mapping[str, Any]  # as that of a run: model, prompt, tools, mandate, limits
    first_seq: int = 1
    first_step: int = 1
    brief: str = ""
    is_vacant: bool = False  # nobody's: before its first turn the run waits for what others do beside each other

    @classmethod
    def whole(cls, run: Run) -> Turn:
        """Return the one turn of a run that a single agent does."""
        return cls(agent_id=run.agent_id, config=run.config)

    def number_of(self, step: int) -> int:
        """Return which of the turn's steps a step of the run is, from 1 on."""
        return step - self.first_step + 1

    def allows(self, step: int) -> bool:
        """Whether a step of the run is within what the agent may take."""
        return self.number_of(step) <= int(self.config["max_steps"])
