"""Who the model is in a team, and what it is told when its turn begins: read from the prompt and from the brief."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from runs.llm.demo.attachments import parted
from runs.llm.demo.transcript import Turn, is_final, last_text, rounds_of, text_of, without_reminder

_SEAT = re.compile(r'^You are (?P<name>.+) in the team "(?P<team>.+)"\.(?: Your colleagues: (?P<others>.+)\.)?', re.M)
_LEADS = re.compile(r"^You lead this team\.", re.M)
_IS_LEAD = " (lead)"

_QUOTED = r"(?P<said>(?:^>.*\n?)+)"
_CONTRIBUTION = re.compile(rf"^(?P<name>.+?)(?P<lead>, the lead)?, in round (?P<round>\d+):.*\n{_QUOTED}", re.M)
_REQUEST = re.compile(rf"^(?P<name>[^>\n].*?) asks:.*\n{_QUOTED}", re.M)
_ASKED_NOW = "You are asked to do this now."
_LABEL = "\n\n---\n\n"  # what stands behind it says what gave the answer
_ROUNDS_LEFT = re.compile(r"^Now decide, or send work back:", re.M)


@dataclass(frozen=True)
class Contribution:
    """What another member came to."""

    name: str
    text: str
    is_lead: bool


@dataclass(frozen=True)
class Seat:
    """A place in a team, and how things stand. `asked` is what the others want of it now."""

    name: str
    team: str
    colleagues: tuple[str, ...]
    leads: bool
    contributions: tuple[Contribution, ...] = ()
    asked: str = ""
    may_send_back: bool = False

    @property
    def of_others(self) -> list[Contribution]:
        return [one for one in self.contributions if one.name != self.name]

    @property
    def has_worked(self) -> bool:
        """Whether this isn't its first turn."""
        return any(one.name == self.name for one in self.contributions)


def read_seat(messages: list[dict[str, Any]]) -> tuple[Seat, Turn] | None:
    """Return the place in a team and what is to be done there; None for an agent that works alone."""
    prompt = text_of(messages[0]) if messages and messages[0].get("role") == "system" else ""
    place = _SEAT.search(prompt)
    if place is None:
        return None
    messages = without_reminder(messages)
    begun = max((at for at, message in enumerate(messages) if is_final(message)), default=0) + 1
    opening = list(_openings(messages[begun:]))
    brief = "\n\n".join(opening[1:])
    question, attached = parted(opening[0] if opening else "")
    turn = Turn(
        question=question,
        earlier_question=last_text(messages[:begun], role="user"),
        earlier_answer=last_text(messages[:begun], role="assistant"),
        rounds=rounds_of(messages[begun:]),
        attached=attached,
    )
    others = (place["others"] or "").split(", ")
    seat = Seat(
        name=place["name"],
        team=place["team"],
        colleagues=tuple(other for other in others if other and not other.endswith(_IS_LEAD)),
        leads=bool(_LEADS.search(prompt)),
        contributions=tuple(_contributions(brief)),
        asked=_asked(brief),
        may_send_back=bool(_ROUNDS_LEFT.search(brief)),
    )
    return seat, turn


def _openings(messages: list[dict[str, Any]]) -> Iterator[str]:
    """The task and the brief: what was said before the first answer of the turn."""
    for message in messages:
        if message.get("role") != "user":
            return
        yield text_of(message)


def _contributions(brief: str) -> Iterator[Contribution]:
    for found in _CONTRIBUTION.finditer(brief):
        text, _, _ = _unquoted(found["said"]).partition(_LABEL)
        yield Contribution(found["name"], text, is_lead=bool(found["lead"]))


def _asked(brief: str) -> str:
    _, _, after = brief.partition(_ASKED_NOW)
    return "\n".join(_unquoted(found["said"]) for found in _REQUEST.finditer(after))


def _unquoted(said: str) -> str:
    return "\n".join(line.removeprefix(">").removeprefix(" ") for line in said.splitlines()).strip()
