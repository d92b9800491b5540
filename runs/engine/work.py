"""One worker's hold on one turn of a run: the run, what the agent has heard, and the one way to write about it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from django.db import connection, transaction

from openintern.tenancy.scope import Scope
from runs import log
from runs.budgets import Reservation
from runs.engine import conversation, taint
from runs.engine.batch import Planned
from runs.engine.doom_loop import Track
from runs.engine.live_text import LiveWriter
from runs.engine.recall import Recollection
from runs.engine.taint import Taint
from runs.engine.turn import Turn
from runs.events import OF_THE_RUN, Draft, EventType
from runs.family import DELEGATED_RUN, DELEGATION
from runs.llm import context
from runs.models import Checkpoint, Event, Run
from runs.programs import program_of
from runs.stop import Stop
from runs.tools.policy import Mandate
from runs.tools.registry import ToolContext
from runs.tools.results import digests
from runs.tools.workspace import Workspace

#: Part of every step, and written out: composing it takes Django longer than PostgreSQL takes to do it.
_CHECKPOINT = "INSERT INTO runs_checkpoint (run_id, step, seq, state) VALUES (%s, %s, %s, '{}')"


@dataclass
class Work:
    """What an attempt at a run knows of the turn it is at. All of it can be had again from the database."""

    run: Run
    scope: Scope
    stop: Stop
    messages: list[conversation.Message] = field(default_factory=list)  # up to the last checkpoint
    step_events: list[Event] = field(default_factory=list)  # what was said since
    seen: dict[str, str] = field(default_factory=dict)  # path -> digest of what the run last read or wrote
    call_ids: set[str] = field(default_factory=set)  # of all tool calls of the run so far
    warned: set[str] = field(default_factory=set)  # codes of the warnings so far
    correction: float = 1.0  # what the model's provider counts, for each token that we estimate
    compaction: conversation.Compaction | None = None  # the latest
    track: Track = field(default_factory=Track)  # up to the last checkpoint
    known_seq: int = 0
    begun: float = field(default_factory=time.monotonic)
    step_begun: float = field(default_factory=time.monotonic)
    heard_seq: int = 0  # what the model knew when it was last asked
    answered_in_ms: int = 0
    estimated_tokens: int = 0  # of what the model was last sent
    recalled: Recollection | None = None  # what the model was reminded of, when it was last asked
    reminded_of: tuple[str, ...] = ()  # by the log
    noted_taint: Taint | None = None  # what the log tells of it, whether or not it says so yet
    held: Reservation | None = None  # what is reserved for the model call that is under way, or the next
    is_budgeted: bool = False  # whether anything was reserved for the last one

    has_delegated: bool = False  # by the log

    def __post_init__(self) -> None:
        self._active_before = self.run.active_ms
        self.program = program_of(self.run)
        self.turn = Turn.whole(self.run)  # until the log is loaded

    @cached_property
    def mandate(self) -> Mandate:
        """What the agent may do."""
        return Mandate.of(self.turn.config)

    @cached_property
    def earlier_ids(self) -> list[str]:
        """The runs of the session that the agent hears of anyway, as they were when its turn was taken up."""
        return conversation.earlier_run_ids(self.run)

    @cached_property
    def live(self) -> LiveWriter:
        """What the agent is saying just now, for whoever watches."""
        return LiveWriter(self.run, agent_id=self.turn.agent_id)

    @property
    def is_tainted(self) -> bool:
        """Whether text from outside has come into the context, be it only by what was recalled just now."""
        return self.run.taint is not None or self._taint_of([]) is not None

    @property
    def shares_limits(self) -> bool:
        """Whether other runs draw on the same limits: one that it comes from, or those that it gave work to."""
        return self.has_delegated or DELEGATION in self.run.config

    @cached_property
    def workspace(self) -> Workspace:
        """The files of the run's project, opened when the first tool needs them."""
        return Workspace.for_scope(self.scope)

    def context(self, planned: Planned) -> ToolContext:
        """Return what a tool call is given: all it may know of the world."""
        return ToolContext(
            scope=self.scope,
            run_id=self.run.pk,
            tool_call_id=planned.call.id,
            idempotency_key=f"{self.run.pk}:{self.run.step}:{planned.call.id}",
            workspace=self.workspace,
            stop=self.stop,
            seen=self.seen,
            skills={skill["id"]: skill["version"] for skill in self.turn.config.get("skills", ())},
            is_tainted=self.is_tainted,
            agent_id=self.turn.agent_id,
            group_id=self.run.group_id,
        )

    def load(self) -> None:
        """Fold the log of the turn up to the last checkpoint, and keep what the current step has said apart."""
        self.known_seq = self.run.last_seq
        self.turn = self.program.turn(self.run)
        spoken = self._spoken(upto=self.known_seq, types=conversation.REMEMBERED) if self.known_seq else []
        self.call_ids |= self._earlier_call_ids()
        self.has_delegated = self.turn.first_seq > 1 and self.run.children.exists()
        checkpoint = Checkpoint.objects.filter(run=self.run).order_by("-step").first() if spoken else None
        finished = checkpoint.seq if checkpoint else 0
        self.compaction = conversation.Compaction.latest(spoken)
        self.messages = conversation.opening(self.run, self.turn, compaction=self.compaction)
        self.track = Track()
        self._close_step([event for event in spoken if event.seq <= finished])
        self.step_events = [event for event in spoken if event.seq > finished]
        self._note(self.step_events)

    def said_so_far(self) -> list[Event]:
        """Return all that was said in the turn, also what the model isn't shown any more."""
        return self._spoken(upto=self.known_seq, types=conversation.SPEAKING)

    def next_turn(self) -> Work:
        """Return the work on the turn that has begun in the log, as any other worker would find it."""
        work = Work(run=self.run, scope=self.scope, stop=self.stop, is_budgeted=self.is_budgeted)
        work.load()
        return work

    def compact(self, draft: Draft) -> None:
        """Write that older turns are summed up, and fold the log anew, as any other worker would."""
        with transaction.atomic():
            self.record(draft)
            self.load()

    def record(self, *drafts: Draft, **changes: Any) -> list[Event]:
        """Append to the log, and hear what somebody else appended in the meantime.

        The first text from outside is noted before the event that brings it in.
        """
        if self.run.taint is None and (found := self._taint_of(drafts)):
            drafts, changes = self._with_taint(drafts, found), {**changes, "taint": found.payload()}
        appended = log.append(self.run, *map(self._signed, drafts), **changes)
        self._hear_others(upto=appended.previous_seq)
        self.known_seq = self.run.last_seq
        self.step_events += [event for event in appended.events if event.type in conversation.REMEMBERED]
        self._note(appended.events)
        return appended.events

    def has_news(self) -> bool:
        """Whether somebody spoke to the run since it last listened. Locks the run's row."""
        last_seq = self.lock()
        return last_seq > self.known_seq and bool(self._said_by_others(upto=last_seq))

    def catch_up(self) -> None:
        """Lock the run's row until the transaction ends, and hear what others wrote until now. Raises StaleAttempt."""
        self._hear_others(upto=self.lock())

    def lock(self) -> int:
        """Lock the run's row until the transaction ends; return its `last_seq`. Raises StaleAttempt."""
        row = Run.objects.select_for_update().only("last_seq", "attempt").get(pk=self.run.pk)
        if row.attempt != self.run.attempt:
            raise log.StaleAttempt(self.run.pk)
        return row.last_seq

    def checkpoint(self, events: Iterable[Event]) -> None:
        """Mark the step of the `step.completed` among `events` as finished, in their transaction."""
        completed = next(event for event in events if event.type == EventType.STEP_COMPLETED)
        with connection.cursor() as cursor:
            cursor.execute(_CHECKPOINT, [self.run.pk, completed.step, completed.seq])
        self._close_step(self.step_events)
        self.step_events = []
        self.step_begun = time.monotonic()

    def conversation(self) -> list[conversation.Message]:
        """Return what the model is to hear now, and remember up to where that goes."""
        self.heard_seq = self.known_seq
        return conversation.fold(self.messages, self.step_events, compaction=self.compaction)

    def answer_event(self) -> Event | None:
        """Return the recorded answer of the current step, if it has been bought already."""
        return next((event for event in self.step_events if event.type == EventType.LLM_CALLED), None)

    def active_ms(self) -> int:
        """Return for how long the run has been worked on, this attempt included."""
        return self._active_before + round((time.monotonic() - self.begun) * 1000)

    def step_ms(self) -> int:
        """Return the milliseconds since the current step began (or was taken up again)."""
        return round((time.monotonic() - self.step_begun) * 1000)

    def _signed(self, draft: Draft) -> Draft:
        """What isn't about the run as a whole is from the agent whose turn it is."""
        if draft.agent_id or draft.type in OF_THE_RUN:
            return draft
        return replace(draft, agent_id=self.turn.agent_id)

    def _taint_of(self, drafts: Sequence[Draft]) -> Taint | None:
        recalled = [self.recalled.draft()] if self.recalled else []
        return self.noted_taint or taint.first_in(self.run, [*recalled, *drafts])

    def _with_taint(self, drafts: Sequence[Draft], found: Taint) -> tuple[Draft, ...]:
        brings = [bool(taint.first_in(self.run, [draft])) for draft in drafts]
        place = brings.index(True) if True in brings else 0
        return (*drafts[:place], found.draft(), *drafts[place:])

    def _close_step(self, events: list[Event]) -> None:
        self.messages = conversation.fold(self.messages, events, compaction=self.compaction)
        self.track.follow(events)
        self._note(events)

    def _hear_others(self, *, upto: int) -> None:
        if upto > self.known_seq:
            others = self._said_by_others(upto=upto)
            self.step_events += others
            self._note(others)
            self.known_seq = upto

    def _said_by_others(self, *, upto: int) -> list[Event]:
        return self._spoken(after=self.known_seq, upto=upto, types=conversation.SPEAKING)

    def _spoken(self, *, after: int = 0, upto: int, types: Iterable[EventType]) -> list[Event]:
        after = max(after, self.turn.first_seq - 1)
        rows = Event.objects.filter(run=self.run, seq__gt=after, seq__lte=upto, type__in=types)
        return list(rows.order_by("seq"))

    def _earlier_call_ids(self) -> set[str]:
        """The ids of the calls of earlier turns: those of a run are all different."""
        if self.turn.first_seq == 1:
            return set()
        earlier = Event.objects.filter(run=self.run, seq__lt=self.turn.first_seq, type=EventType.LLM_CALLED)
        answers = earlier.filter(payload__has_key="toolCalls").values_list("payload__toolCalls", flat=True)
        return {call["id"] for calls in answers for call in calls}

    def _note(self, events: Iterable[Event]) -> None:
        """Remember what later steps ask for. Events may come more than once."""
        events = list(events)
        self._note_seen(events)
        self.noted_taint = self.noted_taint or taint.first_in(self.run, events)
        for event in events:
            match event.type:
                case EventType.TOOL_RESULT:
                    self.has_delegated |= (event.payload.get("awaited") or {}).get("kind") == DELEGATED_RUN
                case EventType.RUN_WARNING:
                    self.warned.add(event.payload["code"])
                case EventType.LLM_CALLED:
                    told = event.payload
                    self.call_ids |= {call["id"] for call in told.get("toolCalls", [])}
                    estimated = told.get("estimatedTokens", 0)
                    self.correction = context.correction(counted=told["promptTokens"], estimated=estimated)

    def _note_seen(self, events: Iterable[Event]) -> None:
        """Remember the digests that file tools report, for those that change a file only as it was read."""
        for event in events:
            result = event.payload.get("result") if event.type == EventType.TOOL_RESULT else None
            if isinstance(result, dict):
                self.seen |= digests(result)
