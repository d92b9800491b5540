"""A conversation on the page: each of its runs with what was done for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.fields.json import KT
from django.db.models.functions import Left
from django.utils.translation import gettext as _

from openintern.tenancy.policy import allows
from openintern.tenancy.scope import Scope
from openintern.text import shorten
from runs.events import MESSAGES, EventType
from runs.family import DELEGATED_RUN
from runs.models import Effect, Event, Run
from runs.pages.cards import KINDS
from runs.pages.doubts import calls_in_doubt
from runs.pages.questions import Question, questions_of
from runs.pages.wording import about_call, gist, kind_of_tool

LONG_TASK = 280  # characters: a longer one is set in smaller type
LONGEST_SAYING = 4000
LONGEST_MESSAGE = 600
FIRST_EVENTS = 300  # of each run: what came after stands in its trace

_TOLD = (
    EventType.TOOL_CALLED,
    EventType.TOOL_BLOCKED,
    EventType.TOOL_RESULT,
    EventType.RUN_RESUMED,
    EventType.RUN_WAITING,
    EventType.STEP_RETRIED,
    EventType.USER_INJECTED,
    EventType.MEMBER_STARTED,
    EventType.MEMBER_COMPLETED,
    EventType.MEMBER_FAILED,
    *MESSAGES,
)


@dataclass
class Line:
    """One thing that was done or said, in one line."""

    kind: str  # call, resumed, retry; of a team: member, message, failed
    icon: str
    name: str = ""
    about: str = ""
    to: str = ""
    status: str = "running"
    duration_ms: int | None = None
    is_awaited: bool = False  # of a call: others have been given something to do
    run_id: str = ""  # which run that is, if it is one


@dataclass(frozen=True)
class Said:
    """What somebody told the agent while it was at work."""

    name: str
    text: str


@dataclass
class Turn:
    """One run as a turn of the conversation. A live one is drawn by the browser, from the run's stream."""

    run: Run
    may_act: bool
    lines: list[Line] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    doubts: list[Effect] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether it goes on by itself: one that waits for others does, one that waits for a person doesn't."""
        return not self.run.is_final and not (self.doubts or self.questions)

    @property
    def handed_on(self) -> list[Line]:
        """The calls that wait for what others have been given to do."""
        if self.run.status != Run.Status.WAITING:
            return []
        return [line for line in self.lines if line.is_awaited and line.status == "running"]

    @property
    def is_heard(self) -> bool:
        """Whether its agent is at work and reads what it is told before its next step."""
        return self.run.status == Run.Status.RUNNING

    @property
    def attachments(self) -> list[dict[str, Any]]:
        """The files that came with the task, as they were then."""
        return list(self.run.config.get("attachments", ()))

    @property
    def is_long(self) -> bool:
        return len(self.run.input) > LONG_TASK

    @property
    def call_count(self) -> int:
        return max(self.run.tool_call_count, sum(line.kind == "call" for line in self.lines))

    @property
    def has_more(self) -> bool:
        """Whether more was done than is shown."""
        return self.run.is_final and self.run.last_seq > FIRST_EVENTS

    @property
    def tokens(self) -> int:
        return self.run.prompt_tokens + self.run.completion_tokens

    @property
    def model(self) -> str:
        return model_name(self.run)

    @property
    def who(self) -> str:
        """Who answers: a team, by its name and that of its lead, or a role; "" for the agent that everybody has."""
        return who_answers(self.run)


def model_name(run: Run) -> str:
    """Return the model that the run is done with, short enough for a line."""
    return shorten(str(run.config.get("model", {}).get("model", "")), 48)


def who_answers(run: Run) -> str:
    """Return the team, with its lead, or the role that a run is given to; "" if neither."""
    team = run.config.get("team")
    if not team:
        return str((run.config.get("role") or {}).get("name", ""))
    lead = next((member["name"] for member in team["members"] if member["is_lead"]), "")
    return f"{team['name']} · {lead}" if lead else str(team["name"])


def turns_of(runs: Sequence[Run], *, scope: Scope) -> list[Turn]:
    """Return the runs as turns, in their order. One query for what was done in all of them."""
    may_act = allows(scope.role, "run", "create")
    doubts, questions = calls_in_doubt(runs), questions_of(runs, scope)
    turns = {
        run.pk: Turn(run, may_act, doubts=doubts.get(run.pk, []), questions=questions.get(run.pk, [])) for run in runs
    }
    calls: dict[tuple[str, str], Line] = {}
    for told in _told(list(turns)):
        turn = turns[told["run_id"]]
        key = (told["run_id"], told["payload__tool_call_id"] or "")
        match told["type"]:
            case EventType.TOOL_CALLED | EventType.TOOL_BLOCKED:
                calls[key] = _line_of_call(told)
                turn.lines.append(calls[key])
            case EventType.TOOL_RESULT if key in calls:
                _settle(calls[key], told)
            case EventType.RUN_WAITING:
                _note_awaited(calls, told)
            case EventType.RUN_RESUMED if told["payload__losses"]:
                turn.lines.append(
                    Line(
                        "resumed", "resumed", about=_("A worker was lost; another one went on from the last saved step")
                    )
                )
            case EventType.STEP_RETRIED:
                turn.lines.append(Line("retry", "retry", about=_("The model didn’t answer; asked again")))
            case EventType.USER_INJECTED:
                turn.said.append(
                    Said(str(told["payload__from"]), shorten(str(told["payload__message"]), LONGEST_SAYING))
                )
            case EventType.MEMBER_STARTED | EventType.MEMBER_FAILED:
                turn.lines.append(_line_of_member(told))
            case EventType.MEMBER_COMPLETED if not told["payload__isLead"]:
                turn.lines.append(_line_of_contribution(told))
            case kind if kind in MESSAGES:
                turn.lines.append(_line_of_message(told))
    return list(turns.values())


def turn_of(run: Run, *, scope: Scope) -> Turn:
    """Return one run as a turn."""
    return turns_of([run], scope=scope)[0]


def _told(run_ids: list[str]) -> Any:
    """The events that make lines, without the results themselves: those can be large and aren't shown here."""
    fields = (
        *("toolName", "tool_call_id", "args", "isError", "duration_ms", "losses", "message", "from"),
        *("awaits", "role", "round", "isLead", "text", "decision", "toRole", "runId"),
    )
    events = Event.objects.filter(run__in=run_ids, seq__lte=FIRST_EVENTS, type__in=_TOLD).order_by("run_id", "seq")
    told = events.values("run_id", "type", *(f"payload__{name}" for name in fields))
    return told.annotate(contribution=Left(KT("payload__output"), LONGEST_MESSAGE))


def _line_of_call(told: dict[str, Any]) -> Line:
    name = str(told["payload__toolName"] or "")
    status = "blocked" if told["type"] == EventType.TOOL_BLOCKED else "running"
    return Line("call", kind_of_tool(name), name=name, about=about_call(told["payload__args"]), status=status)


def _line_of_member(told: dict[str, Any]) -> Line:
    name = str(told["payload__role"])
    if told["type"] == EventType.MEMBER_FAILED:
        return Line("failed", "failed", name=name, about=shorten(str(told["payload__message"]), LONGEST_MESSAGE))
    about = _("round %(number)s") % {"number": told["payload__round"]}
    run_id = str(told["payload__runId"] or "")
    status = "lead" if told["payload__isLead"] else ""
    return Line("member", "person", name=name, about=about, status=status, run_id=run_id)


def _line_of_contribution(told: dict[str, Any]) -> Line:
    return Line("completed", "completed", name=str(told["payload__role"]), about=gist(told["contribution"] or ""))


def _line_of_message(told: dict[str, Any]) -> Line:
    said = str(told["payload__text"] or told["payload__decision"] or "")
    return Line(
        "message",
        MESSAGES[told["type"]],
        name=str(KINDS[EventType(told["type"])]),
        about=shorten(said, LONGEST_MESSAGE),
        to=str(told["payload__toRole"] or ""),
    )


def _note_awaited(calls: dict[tuple[str, str], Line], told: dict[str, Any]) -> None:
    """Note which calls wait for others, and for which runs."""
    for one in told["payload__awaits"] or ():
        line = calls.get((told["run_id"], one["tool_call_id"] or "-"))
        if line:
            line.is_awaited, line.run_id = True, one["reference"] if one["kind"] == DELEGATED_RUN else ""


def _settle(line: Line, told: dict[str, Any]) -> None:
    if line.status != "blocked":
        line.status = "failed" if told["payload__isError"] else "completed"
    line.duration_ms = told["payload__duration_ms"]
