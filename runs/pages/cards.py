"""What members of a team say to each other, as cards: proposals, evidence, states, tasks, decisions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext_lazy as _

from openintern.text import shorten
from runs.events import EventType
from runs.models import Event
from runs.pages.links import event_url

LONGEST: Final = 4000
_MOST_REFERENCES: Final = 20

#: What each message is, in the reader's language.
KINDS: Final = {
    EventType.MESSAGE_TASK: _("Task"),
    EventType.MESSAGE_PROPOSAL: _("Proposal"),
    EventType.MESSAGE_EVIDENCE: _("Evidence"),
    EventType.MESSAGE_STATUS: _("Status"),
    EventType.MESSAGE_DECISION: _("Decision"),
}


@dataclass(frozen=True)
class Reference:
    """An event that a message rests on, and where it is read."""

    label: str
    url: str


@dataclass(frozen=True)
class Card:
    """One thing that a member said."""

    kind: str  # task, proposal, evidence, status or decision
    name: str  # the kind, in the reader's language
    author: str
    text: str
    at: datetime
    url: str  # of the event
    title: str = ""
    to: str = ""
    source: str = ""
    confidence: str = ""
    progress: str = ""
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What was decided, why, on which evidence, and what is to be done next."""

    card: Card
    rationale: str
    evidence: tuple[Card, ...]
    next_actions: tuple[str, ...]

    @property
    def support_count(self) -> int:
        """How much it rests on: pieces of evidence, and events that it points at itself."""
        return len(self.evidence) + len(self.card.references)


class Deck:
    """The cards of a run, and what refers to them. `names` are those of the agents."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self._by_key: dict[tuple[str, Any], Card] = {}
        self._decided: tuple[Card, Event] | None = None

    def take(self, event: Event) -> Card:
        """Return the card of a message."""
        told, kind = event.payload, EventType(event.type)
        card = Card(
            kind=kind.partition(".")[2],
            name=str(KINDS[kind]),
            author=told.get("role") or self.names.get(event.agent_id, event.agent_id),
            text=shorten(str(told.get("text") or told.get("decision") or ""), LONGEST),
            at=event.at,
            url=event_url(event.run_id, event.seq),
            title=told.get("title") or "",
            to=told.get("toRole") or self.names.get(told.get("to", ""), ""),
            source=told.get("source") or "",
            confidence=_share(told.get("confidence")),
            progress=_share(told.get("progress")),
            references=tuple(_references(told.get("refs", ()))),
        )
        self._by_key[event.run_id, event.seq] = card
        if entry_id := told.get("entryId"):
            self._by_key["entry", entry_id] = card
        if kind == EventType.MESSAGE_DECISION:
            self._decided = (card, event)
        return card

    def decision(self) -> Decision | None:
        """Return the latest decision with what it rests on, as far as that is among the cards."""
        if self._decided is None:
            return None
        card, event = self._decided
        told = event.payload
        found = (self._rests_on(one, event.run_id) for one in told.get("evidence", ()))
        return Decision(
            card,
            rationale=shorten(str(told.get("rationale") or ""), LONGEST),
            evidence=tuple(dict.fromkeys(one for one in found if one)),
            next_actions=tuple(str(one) for one in told.get("nextActions", ())),
        )

    def _rests_on(self, told: Any, run_id: str) -> Card | None:
        if not isinstance(told, dict):
            return None
        by_entry = self._by_key.get(("entry", told.get("entryId")))
        return by_entry or self._by_key.get((told.get("run_id") or run_id, told.get("seq")))


def _references(refs: Iterable[Any]) -> Iterable[Reference]:
    for ref in list(refs)[:_MOST_REFERENCES]:
        yield Reference(f"#{ref['seq']}", event_url(ref["run_id"], ref["seq"]))


def _share(value: Any) -> str:
    """Return a share from 0 to 1 in per cent, and any other word as it stands."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return f"{value:.0%}"
    return str(value) if value else ""
