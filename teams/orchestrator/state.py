"""What a run's log says of its team's work. Nothing else stores it: any worker that reads the log knows the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from runs.events import EventType
from teams.orchestrator.team import Team

#: What has to be read of a log.
TELLING: Final = (
    EventType.RUN_TAINTED,
    EventType.MEMBER_STARTED,
    EventType.MEMBER_COMPLETED,
    EventType.MEMBER_FAILED,
    EventType.MESSAGE_TASK,
    EventType.MESSAGE_EVIDENCE,
    EventType.MESSAGE_DECISION,
    EventType.USER_INJECTED,
)


class Told(Protocol):
    """An event of the log, as far as it is read here."""

    seq: int
    step: int
    type: str
    agent_id: str
    payload: dict[str, Any]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """A member's turn that has begun."""

    agent_id: str
    round: int
    seq: int
    step: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What a member's turn came to: what it said, or why it failed."""

    agent_id: str
    round: int
    text: str = ""
    failure: str = ""
    is_tainted: bool = False
    again: bool = False  # it failed, and is tried once more


@dataclass(frozen=True, kw_only=True)
class Request:
    """What one member asks of another."""

    seq: int
    by: str
    to: str
    text: str
    is_tainted: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a team is. `now` is the turn that began last, `due` are the agents that the round still waits for."""

    now: Sitting | None = None
    due: tuple[str, ...] = ()
    tries: int = 0  # how often the agent of `now` has begun in this round
    contributions: tuple[Contribution, ...] = ()
    requests: tuple[Request, ...] = ()
    begun: dict[str, int] = field(default_factory=dict)  # the latest turn of each agent: its first event
    begun_before: dict[str, int] = field(default_factory=dict)  # the one before that, not counting tries of the same
    evidence: tuple[dict[str, Any], ...] = ()
    decided_seq: int = 0  # the lead's latest decision
    away: dict[str, str] = field(default_factory=dict)  # who works in a run of its own: in which
    parts: dict[str, int] = field(default_factory=dict)  # how many runs of its own an agent has begun
    said: tuple[str, ...] = ()  # by people, before the turn that began last
    saying: tuple[str, ...] = ()  # since: whose turn it is hears that by itself
    is_tainted: bool = False
    prompt_tokens: int = 0  # of the turns that are over
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)

    def spoken(self) -> list[Contribution]:
        """Return the latest that each agent has said, in the order in which it came."""
        return _latest([one for one in self.contributions if one.text.strip()])

    def failed(self) -> list[Contribution]:
        """Return the agents' latest turns as far as they failed."""
        return [one for one in _latest(self.contributions) if one.failure]

    def asked_of(self, agent_id: str) -> list[Request]:
        """Return what has been asked of an agent since its latest turn began."""
        since = self.begun.get(agent_id, 0)
        return [one for one in self.requests if one.to == agent_id and one.seq > since]

    def asked_before(self, agent_id: str) -> list[Request]:
        """Return what was asked of the agent whose turn it is between its last turn and this one."""
        now, last = self.begun.get(agent_id, 0), self.begun_before.get(agent_id, 0)
        return [one for one in self.requests if one.to == agent_id and last < one.seq < now]

    def sent_back(self, team: Team) -> tuple[str, ...]:
        """Return of whom the lead, whose turn it is, has asked something: agents in the team's order."""
        if self.now is None or team.lead is None or self.now.agent_id != team.lead.agent_id:
            return ()
        asked = {one.to for one in self.requests if one.by == self.now.agent_id and one.seq > self.now.seq}
        return tuple(member.agent_id for member in team.others if member.agent_id in asked)


def _latest(contributions: Sequence[Contribution]) -> list[Contribution]:
    newest = {one.agent_id: one for one in contributions}
    return [one for one in contributions if newest[one.agent_id] is one]


def fold(team: Team, events: Iterable[Told], state: State | None = None) -> State:
    """Return what `events`, in their order, make of `state`."""
    state = state or State()
    for event in events:
        state = _after(team, state, event)
    return state


def agenda(team: Team, asked: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return who works in a round, in which order: those who are asked, else all, and the lead at the end."""
    wanted = None if asked is None else set(asked)
    working = [member.agent_id for member in team.others if wanted is None or member.agent_id in wanted]
    return (*working, *([team.lead.agent_id] if team.lead else []))


def _after(team: Team, state: State, event: Told) -> State:
    told = event.payload
    match event.type:
        case EventType.MEMBER_STARTED if "runId" in told:
            state = _sent(state, event)
        case EventType.MEMBER_STARTED:
            state = _begun(team, state, event)
        case EventType.MEMBER_COMPLETED | EventType.MEMBER_FAILED if "runId" in told:
            state = _arrived(team, state, event)
        case EventType.MEMBER_COMPLETED | EventType.MEMBER_FAILED:
            state = _over(state, event)
        case EventType.MESSAGE_TASK:
            state = replace(state, requests=(*state.requests, _request(state, event)))
        case EventType.MESSAGE_EVIDENCE:
            entry = told.get("entryId")
            state = replace(state, evidence=(*state.evidence, {"entryId": entry} if entry else {"seq": event.seq}))
        case EventType.MESSAGE_DECISION:
            state = replace(state, decided_seq=event.seq)
        case EventType.USER_INJECTED:
            state = replace(state, saying=(*state.saying, str(told.get("message", ""))))
        case EventType.RUN_TAINTED:
            state = replace(state, is_tainted=True)
    return state


def _request(state: State, event: Told) -> Request:
    to, text = (str(event.payload.get(name, "")) for name in ("to", "text"))
    return Request(seq=event.seq, by=event.agent_id, to=to, text=text, is_tainted=state.is_tainted)


def _begun(team: Team, state: State, event: Told) -> State:
    number, agent_id = event.payload["round"], event.payload["agentId"]
    is_again = state.now is not None and (state.now.agent_id, state.now.round) == (agent_id, number)
    due = state.due
    if state.now is None or state.now.round != number:
        due = agenda(team, state.sent_back(team) or None)  # everybody, where nobody was asked for anything
    return replace(
        state,
        now=Sitting(agent_id=agent_id, round=number, seq=event.seq, step=event.step, at=event.at),
        due=due[due.index(agent_id) + 1 :] if agent_id in due else due,
        tries=state.tries + 1 if is_again else 1,
        begun={**state.begun, agent_id: event.seq},
        begun_before=state.begun_before if is_again else {**state.begun_before, agent_id: state.begun.get(agent_id, 0)},
        said=(*state.said, *state.saying),
        saying=(),
    )


def _sent(state: State, event: Told) -> State:
    """An agent works in a run of its own: nobody's turn begins."""
    agent_id = event.payload["agentId"]
    return replace(
        state,
        away={**state.away, agent_id: event.payload["runId"]},
        parts={**state.parts, agent_id: state.parts.get(agent_id, 0) + 1},
        begun={**state.begun, agent_id: event.seq},
    )


def _arrived(team: Team, state: State, event: Told) -> State:
    """What a run of a member's own came to. The contributions stand in the team's order, whoever was first."""
    told = event.payload
    agent_id = told["agentId"]
    requests = [
        Request(seq=event.seq, by=agent_id, to=one["to"], text=one["text"], is_tainted=state.is_tainted)
        for one in told.get("asked", ())
    ]
    contributions = [*state.contributions, _contribution(state, event)]
    places = {member.agent_id: place for place, member in enumerate(team.members)}
    return replace(
        state,
        away={other: run_id for other, run_id in state.away.items() if other != agent_id},
        contributions=tuple(sorted(contributions, key=lambda one: places.get(one.agent_id, 0))),
        requests=(*state.requests, *requests),
        evidence=(*state.evidence, *told.get("evidence", ())),
    )


def _contribution(state: State, event: Told) -> Contribution:
    told = event.payload
    return Contribution(
        agent_id=told["agentId"],
        round=told["round"],
        text=told.get("output", ""),
        failure=f"{told['message']} ({told['code']})" if event.type == EventType.MEMBER_FAILED else "",
        is_tainted=state.is_tainted,
        again=bool(told.get("willRetry")),
    )


def _over(state: State, event: Told) -> State:
    """A turn is over. What a member asked in one that is tried again is forgotten: it will ask anew."""
    told = event.payload
    requests = state.requests
    if told.get("willRetry") and state.now is not None:
        begun_at = state.now.seq
        requests = tuple(one for one in requests if one.seq < begun_at or one.by != told["agentId"])
    return replace(
        state,
        contributions=(*state.contributions, _contribution(state, event)),
        requests=requests,
        prompt_tokens=state.prompt_tokens + told["promptTokens"],
        completion_tokens=state.completion_tokens + told["completionTokens"],
        cost=state.cost + Decimal(told["cost"]),
    )
