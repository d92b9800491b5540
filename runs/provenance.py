"""Where a task comes from beside the person: from a client that keeps the talk itself, or from another run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openintern.redaction import redact, redact_text
from runs.models import Run


@dataclass(frozen=True, kw_only=True)
class Talk:
    """What a client brings along that keeps the talk itself: it takes the place of what the session's earlier runs said.

    All but the end of the one that the task `follows`, where the client left too early to hear it. `history` is
    {"role", "content"}, the oldest first; `instructions` are added to the agent's prompt.
    """

    history: Sequence[dict[str, str]]
    instructions: str = ""
    follows: Run | None = None

    def told(self) -> dict[str, Any]:
        """What a request that is repeated has to say again."""
        return {"history": list(self.history), "instructions": self.instructions}

    def config(self) -> dict[str, Any]:
        """What the run's configuration keeps of it."""
        return {
            "history": redact(list(self.history))[0],
            "instructions": redact_text(self.instructions),
            "follows": self.follows.pk if self.follows else None,
        }


@dataclass(frozen=True, kw_only=True)
class PassedOn:
    """That a task comes from another run, which is locked, and what goes from there into its configuration.

    It belongs to that run's conversation without being heard in it, and to its project.
    """

    by: Run
    config: dict[str, Any]
