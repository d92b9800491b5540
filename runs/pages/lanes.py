"""A team's run, lane by lane: who worked in which round, what they said to each other, what it came to and cost.

Read from the log alone: the members' turns from `member.*`, what they said from `message.*`. Where the members work at
once, each of them is a run of its own, and that run is a turn in its lane.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import DecimalField, IntegerField, QuerySet, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from runs.ending import CANCELLED
from runs.events import MESSAGES, EventType
from runs.models import Event, Run
from runs.pages.cards import Card, Decision, Deck
from runs.pages.links import event_url
from runs.pages.timeline import Span, Timeline, place

#: Of what the team did and said, so much is shown; what came after stands in the raw view.
MOST: Final = 500

_TURNS = (EventType.MEMBER_STARTED, EventType.MEMBER_COMPLETED, EventType.MEMBER_FAILED)


@dataclass
class LaneTurn(Span):
    """One stretch of a member's work: its events are those of `run_id` from `seq` on."""

    round: int = 1
    run_id: str = ""
    seq: int = 1
    task: str = ""
    after: tuple[str, ...] = ()  # whose contributions it had to wait for
    cards: list[Card] = field(default_factory=list)
    output: str = ""
    failure: str = ""
    is_tried_again: bool = False
    is_own_run: bool = False
    last_seq: int = 0  # of its own run

    @property
    def url(self) -> str:
        """Where its events begin."""
        return event_url(self.run_id, self.seq)


@dataclass
class Lane:
    """A member, and what it did."""

    agent_id: str
    name: str
    is_lead: bool
    turns: list[LaneTurn] = field(default_factory=list)

    @property
    def status(self) -> str:
        return self.turns[-1].status if self.turns else "pending"

    @property
    def status_name(self) -> str:
        return str(Run.Status(self.status).label)

    @property
    def tokens(self) -> int:
        return sum(turn.tokens or 0 for turn in self.turns)

    @property
    def cost(self) -> Decimal:
        return sum((Decimal(turn.cost or 0) for turn in self.turns), Decimal(0))

    @property
    def took_ms(self) -> float | None:
        """Milliseconds at work so far; None before the first turn has ended."""
        ended = [turn.duration_ms for turn in self.turns if turn.duration_ms is not None]
        return sum(ended) if ended else None

    @property
    def live_since(self) -> datetime | None:
        """When the turn began that goes on now."""
        return next((turn.began_at for turn in self.turns if turn.is_live), None)


@dataclass
class Team:
    """A team at work, or after it."""

    group_id: str
    name: str
    is_parallel: bool
    round: int
    most_rounds: int
    lanes: list[Lane]
    timeline: Timeline
    decision: Decision | None
    is_cut: bool  # whether more was said than is shown

    @property
    def streams(self) -> str:
        """The streams of the members' own runs that go on, for the page to follow beside the team's."""
        turns = [turn for lane in self.lanes for turn in lane.turns if turn.is_own_run and turn.is_live]
        return " ".join(f"/api/runs/{turn.run_id}/stream?cursor={turn.last_seq}" for turn in turns)


def team_of(run: Run, *, now: datetime) -> Team | None:
    """Return the lanes of a team's run; None for a run of one agent."""
    pinned = run.config.get("team")
    if not pinned:
        return None
    children = list(_children(run, pinned))
    work, said = _told([run.pk, *(child.pk for child in children)])
    fold = _Fold(run, pinned, children, now=now)
    for event in sorted([*work, *said[:MOST]], key=lambda event: (event.at, event.run_id, event.seq)):
        fold.take(event)
    fold.end()
    _count_what_goes_on(run, fold.turns)
    timeline = Timeline(run.started_at or run.created_at, run.ended_at or now, [])
    for turn in fold.turns:
        place(turn, timeline)
    return Team(
        group_id=pinned["id"],
        name=pinned["name"],
        is_parallel=pinned.get("mode") == "parallel",
        round=max((turn.round for turn in fold.turns), default=1),
        most_rounds=pinned.get("max_rounds", 1),
        lanes=list(fold.lanes.values()),
        timeline=timeline,
        decision=fold.deck.decision(),
        is_cut=len(said) > MOST,
    )


def names_of(run: Run) -> dict[str, str]:
    """Return by which names a team's agents are known; {} for a run of one agent."""
    members = (run.config.get("team") or {}).get("members", ())
    return {member["agent_id"]: member["name"] for member in members}


def _children(run: Run, pinned: dict[str, Any]) -> QuerySet[Run]:
    """The runs of members that work beside the lead, the oldest first."""
    agents = [member["agent_id"] for member in pinned["members"]]
    found: QuerySet[Run] = Run.objects.filter(parent=run, group_id=run.group_id, agent_id__in=agents)
    return found.exclude(group_id="").defer("config", "input").order_by("created_at", "pk")[:MOST]


def _told(run_ids: list[str]) -> tuple[list[Event], list[Event]]:
    """Return what the team did and decided, which is never much, and what else was said, one more than is shown."""
    events = Event.objects.filter(run__in=run_ids).order_by("at", "run_id", "seq")
    said = set(MESSAGES) - {EventType.MESSAGE_DECISION}
    work = events.filter(type__in=[*_TURNS, EventType.MESSAGE_DECISION])
    return list(work[:MOST]), list(events.filter(type__in=said)[: MOST + 1])


class _Fold:
    """What has been read so far."""

    def __init__(self, run: Run, pinned: dict[str, Any], children: Iterable[Run], *, now: datetime) -> None:
        self.run, self.now = run, now
        members = sorted(pinned["members"], key=lambda member: (member["is_lead"], member["ordinal"]))
        self.lanes = {one["agent_id"]: Lane(one["agent_id"], one["name"], one["is_lead"]) for one in members}
        self.deck = Deck({agent_id: lane.name for agent_id, lane in self.lanes.items()})
        self.turns: list[LaneTurn] = []
        self.children = {child.pk: child for child in children}
        self.of_child: dict[str, LaneTurn] = {}
        for child in self.children.values():
            self._add_child(child)

    def take(self, event: Event) -> None:
        match event.type:
            case EventType.MEMBER_STARTED:
                self._begin(event)
            case EventType.MEMBER_COMPLETED | EventType.MEMBER_FAILED:
                self._finish(event)
            case _:
                self._say(event)

    def end(self) -> None:
        """A run that has ended has ended all that was going on in it."""
        for turn in self.turns:
            if turn.is_live and self.run.is_final:
                ended_at = self.run.ended_at or self.now
                turn.ended_at, turn.status = max(ended_at, turn.began_at), str(self.run.status)
            elif turn.is_live and not turn.is_own_run:
                turn.status = str(self.run.status)

    def _begin(self, event: Event) -> None:
        told = event.payload
        lane = self.lanes.get(told["agentId"])
        if lane is None:
            return
        turn = self.of_child.get(told.get("runId", ""))
        if turn is None:
            turn = LaneTurn(f"turn-{event.seq}", "model", lane.name, event.at, run_id=event.run_id, seq=event.seq)
            self._add(lane, turn)
        turn.round, turn.task = told.get("round", 1), told.get("task", "")
        turn.after = tuple(self.deck.names.get(agent_id, agent_id) for agent_id in told.get("handedOn", ()))

    def _finish(self, event: Event) -> None:
        told = event.payload
        turn = self.of_child.get(told.get("runId", "")) or self._latest(told["agentId"])
        if turn is None:
            return
        turn.ended_at = max(turn.ended_at or event.at, turn.began_at)
        turn.status = _status(event)
        turn.tokens = told.get("promptTokens", turn.tokens or 0) + told.get("completionTokens", 0)
        turn.cost, turn.output = told.get("cost", turn.cost), told.get("output") or ""
        turn.failure = told.get("message", "") if turn.status == Run.Status.FAILED else ""
        turn.is_tried_again = bool(told.get("willRetry"))

    def _latest(self, agent_id: str) -> LaneTurn | None:
        lane = self.lanes.get(agent_id)
        return lane.turns[-1] if lane and lane.turns else None

    def _say(self, event: Event) -> None:
        card = self.deck.take(event)
        turn = self.of_child.get(event.run_id) or self._latest(event.agent_id)
        if turn is not None:
            turn.cards.append(card)

    def _add(self, lane: Lane, turn: LaneTurn) -> None:
        lane.turns.append(turn)
        self.turns.append(turn)

    def _add_child(self, child: Run) -> None:
        """A member's own run is a turn in its lane; which round that is, the team's log says."""
        lane = self.lanes[child.agent_id]
        turn = LaneTurn(
            f"turn-{child.pk}", "model", lane.name, child.started_at or child.created_at, child.ended_at,
            status=str(child.status), tokens=child.prompt_tokens + child.completion_tokens, cost=str(child.cost),
            run_id=child.pk, output=child.output or "",
            is_own_run=True, last_seq=child.last_seq,
        )  # fmt: skip
        turn.failure = str((child.error or {}).get("message", ""))
        self.of_child[child.pk] = turn
        self._add(lane, turn)


def _status(ended: Event) -> str:
    if ended.type == EventType.MEMBER_COMPLETED:
        return str(Run.Status.COMPLETED)
    return str(Run.Status.CANCELLED if ended.payload.get("code") == CANCELLED else Run.Status.FAILED)


def _count_what_goes_on(run: Run, turns: Iterable[LaneTurn]) -> None:
    """What a turn that has not ended has used so far stands in its model calls alone."""
    live = next((turn for turn in turns if turn.tokens is None and turn.is_live), None)
    if live is None:
        return
    used = Event.objects.filter(run=run, seq__gt=live.seq, type=EventType.LLM_CALLED).aggregate(
        tokens=Sum(Cast(KT("payload__totalTokens"), IntegerField())),
        cost=Sum(Cast(KT("payload__cost"), DecimalField(max_digits=14, decimal_places=6))),
    )
    live.tokens, live.cost = used["tokens"] or 0, str(used["cost"] or 0)
