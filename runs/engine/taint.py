"""Whether text that people outside may have written has come into a run's context, and from where first.

From then on the policy asks before a tool sends or deletes something (`runs.tools.policy`): what the model wants may be
what that text told it to want. A run never becomes clean again, and what it leaves behind – its memories, the session
it belongs to – carries it on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from memory.models import Trust
from runs.engine import doom_loop
from runs.events import Draft, EventType
from runs.family import DELEGATION
from runs.models import Event, Run
from runs.tools.registry import tools

#: Codes of errors that are our own words, about calls that never ran.
_OURS = frozenset(
    {
        "TOOL_NOT_FOUND",
        "INVALID_ARGUMENTS",
        "BLOCKED",
        doom_loop.REFUSED,
        "REJECTED",
        "APPROVAL_EXPIRED",
        "AWAITED_TOO_LONG",
    }
)


@dataclass(frozen=True)
class Taint:
    """Where it came from: `source` is `tool`, `memory`, `message`, `attachment`, `session` or `run`; `about` says which."""

    source: str
    about: str

    def payload(self) -> dict[str, Any]:
        """Return it as it is kept with the run."""
        return asdict(self)

    def draft(self) -> Draft:
        """Return the event that says so."""
        return Draft(EventType.RUN_TAINTED, self.payload())


def of_beginning(run: Run, *, earlier_ids: Sequence[str]) -> Taint | None:
    """Return what a run has from its very beginning: files that were sent along, and what its session's `earlier_ids` heard.

    What a run gives to another one is its own words: text from outside, once it has read such text itself.
    """
    if (delegation := run.config.get(DELEGATION)) is not None:
        return Taint("run", str(run.parent_id)) if delegation["is_tainted"] else None
    if attached := run.config.get("attachments"):
        return Taint("attachment", str(attached[0]["original_name"]))
    if (untold := _of_history(run)) is not None:
        return untold
    if not earlier_ids and any(message["role"] == "assistant" for message in run.config.get("history") or ()):
        return Taint("session", "history")  # a client brings answers along of which nobody here knows the origin
    tainted = Run.objects.filter(pk__in=earlier_ids, taint__isnull=False).values_list("pk", flat=True)
    earlier = tainted.order_by("-created_at").first()
    return Taint("session", earlier) if earlier else None


def _of_history(run: Run) -> Taint | None:
    """What a client that keeps the talk itself brings along: answers of which nobody knows what they had read, or one does."""
    if not any(message["role"] == "assistant" for message in run.config.get("history") or ()):
        return None
    follows = run.config.get("follows")
    if follows is None or Run.objects.filter(pk=follows, taint__isnull=False).exists():
        return Taint("session", follows or "history")
    return None


def first_in(run: Run, told: Iterable[Draft | Event]) -> Taint | None:
    """Return the first that events bring in; None if they bring in nothing."""
    return next((found for event in told if (found := _of_event(run, event))), None)


def _of_event(run: Run, event: Draft | Event) -> Taint | None:
    match event.type:
        case EventType.TOOL_RESULT:
            return _of_result(event.payload)
        case EventType.MEMORY_RECALLED:
            outside = [hit["id"] for hit in event.payload["hits"] if hit.get("trust") == Trust.OUTSIDE]
            return Taint("memory", outside[0]) if outside else None
        case EventType.USER_INJECTED if event.payload.get("from") != run.user.username:
            return Taint("message", str(event.payload.get("from", "")))
    return None


def _of_result(payload: dict[str, Any]) -> Taint | None:
    """A tool's result, or its error. Of memories, each says by itself whether it is from outside."""
    name = payload["toolName"]
    tool = tools().get(name)
    code = (payload.get("error") or {}).get("code")
    if code in _OURS:  # our own words about a call that never ran
        return None
    is_marked = payload.get("from_outside") or payload.get("tainted")
    if tool is None or tool.taints or is_marked or _tells_of_outside(payload.get("result")):
        return Taint("tool", name)
    return None


def _tells_of_outside(result: Any) -> bool:
    match result:
        case {"trust": Trust.OUTSIDE.value}:
            return True
        case dict():
            return any(_tells_of_outside(value) for key, value in result.items() if key in {"source", "results"})
        case list():
            return any(_tells_of_outside(value) for value in result)
    return False
