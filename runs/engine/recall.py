"""What is remembered that may help with the next answer.

Looked up before each model call, in the run's scope; shown behind the conversation, where it spoils no provider's cache
of what came before; never part of the conversation itself. What was shown is in the log (`memory.recalled`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from memory import search
from memory.search import Hit
from openintern.tenancy.scope import Scope
from runs.engine.conversation import Message
from runs.events import Draft, EventType
from runs.llm.types import RECALLED
from runs.models import Run

_LONGEST_QUERY = 800  # characters: of the newest words
_LONGEST_HIT = 500
_LONGEST_HEAD = 100  # of a line: what it is and which


@dataclass(frozen=True)
class Recollection:
    """What was looked for, and what was found."""

    query: str
    hits: tuple[dict[str, Any], ...]

    def message(self) -> Message:
        """Return it as the model reads it: as material, each with its id so that it can be cited."""
        lines = [f"- ({hit['type']}, memory {hit['id']}) {hit['text']}" for hit in self.hits]
        return {"role": "user", "content": "\n".join([RECALLED, *lines])}

    @property
    def ids(self) -> tuple[str, ...]:
        """Which memories these are."""
        return tuple(hit["id"] for hit in self.hits)

    def draft(self) -> Draft:
        """Return the event that says what the model was reminded of."""
        return Draft(EventType.MEMORY_RECALLED, {"query": self.query, "hits": list(self.hits)})


def recall(
    run: Run, scope: Scope, messages: list[Message], *, heard: Collection[str], agent_id: str = ""
) -> Recollection | None:
    """Return what may help to go on from `messages`; None if there is nothing.

    What the runs in `heard` left is none: the model hears of earlier runs of its conversation anyway.
    In a team's run, `agent_id` is the member whose turn it is: it recalls the board, and what it keeps for itself.
    """
    most = settings.CONFIG.memory.recalled
    query = _query(messages)
    if not most or not query:
        return None
    if run.group_id:  # what others of the team have said in this run is no part of the member's conversation
        answer = search.recall(scope, query, limit=most, board=run.group_id, agent=agent_id)
        shown = list(answer.hits)
    else:
        answer = search.recall(scope, query, limit=most)
        shown = [hit for hit in answer.hits if hit.run_id not in {run.pk, *heard}]
    hits = tuple(
        {"id": str(hit.id), "type": hit.tier, "score": round(hit.score, 3), "text": _gist(hit), "trust": hit.trust}
        for hit in shown
    )
    return Recollection(query, hits) if hits else None


def most_recalled() -> Message:
    """Return a message as long as the longest that a run can be reminded by: for what has to be paid for in advance."""
    longest = (_LONGEST_HIT + _LONGEST_HEAD) * settings.CONFIG.memory.recalled
    return {"role": "user", "content": RECALLED + "…" * longest}


def _query(messages: list[Message]) -> str:
    """The newest words of the person and of the agent: what the next answer will be about."""
    said = [text for role in ("user", "assistant") if (text := _last_text(messages, role=role))]
    return "\n".join(said)[:_LONGEST_QUERY]


def _last_text(messages: list[Message], *, role: str) -> str:
    for message in reversed(messages):
        if message["role"] == role and (text := _text_of(message["content"])):
            return text
    return ""


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content.strip()
    return " ".join(part["text"] for part in content if part.get("type") == "text").strip()


def _gist(hit: Hit) -> str:
    """A short memory whole, of a long one the passage that fits."""
    return hit.text if len(hit.text) <= _LONGEST_HIT else hit.snippet[:_LONGEST_HIT]
