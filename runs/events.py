"""The types an event may have, and the draft of one that isn't written yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """The public names of what happens in a run; part of the interface."""

    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    RUN_WAITING = "run.waiting"
    RUN_WARNING = "run.warning"
    RUN_COMPACTED = "run.compacted"
    RUN_TAINTED = "run.tainted"
    RUN_REPINNED = "run.repinned"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    STEP_STARTED = "step.started"
    STEP_RETRIED = "step.retried"
    STEP_COMPLETED = "step.completed"
    MEMORY_RECALLED = "memory.recalled"
    LLM_CALLED = "llm.called"
    LLM_TOKEN = "llm.token"  # noqa: S105  live only: it has no seq and is never stored
    TOOL_BATCH_STARTED = "tool.batch.started"
    TOOL_CALLED = "tool.called"
    TOOL_BLOCKED = "tool.blocked"
    TOOL_REQUIRES_APPROVAL = "tool.requires_approval"
    TOOL_APPROVED = "tool.approved"
    TOOL_REJECTED = "tool.rejected"
    TOOL_RESULT = "tool.result"
    TOOL_SETTLED = "tool.settled"
    TOOL_BATCH_COMPLETED = "tool.batch.completed"
    USER_INJECTED = "user.injected"
    MEMBER_STARTED = "member.started"
    MEMBER_COMPLETED = "member.completed"
    MEMBER_FAILED = "member.failed"
    MESSAGE_TASK = "message.task"
    MESSAGE_PROPOSAL = "message.proposal"
    MESSAGE_EVIDENCE = "message.evidence"
    MESSAGE_STATUS = "message.status"
    MESSAGE_DECISION = "message.decision"


TERMINAL = frozenset({EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_CANCELLED})
#: What members of a team say to each other, by the kind of it.
MESSAGES: dict[str, str] = {
    type: type.partition(".")[2]
    for type in (
        EventType.MESSAGE_TASK,
        EventType.MESSAGE_PROPOSAL,
        EventType.MESSAGE_EVIDENCE,
        EventType.MESSAGE_STATUS,
        EventType.MESSAGE_DECISION,
    )
}
#: What happens to a run as a whole, whoever's turn it is.
OF_THE_RUN = TERMINAL | {EventType.RUN_STARTED, EventType.RUN_RESUMED}


@dataclass(frozen=True)
class Draft:
    """An event before it has a number. `step` and `agent_id` default to the run's."""

    type: EventType
    payload: dict[str, Any] = field(default_factory=dict)
    step: int | None = None
    agent_id: str = ""
