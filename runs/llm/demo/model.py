"""The model that needs no key: it searches memory and workspace through the ordinary tools and answers with quotations."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from runs.llm.demo.attachments import to_summarise
from runs.llm.demo.calls import Batch, Call, Plan, Reply, Report, Toolbox
from runs.llm.demo.plans.changes import replace_text, save
from runs.llm.demo.plans.chores import count_lines, list_files, outline, overview, search, show_file, summarise
from runs.llm.demo.plans.opening import UnreadableError
from runs.llm.demo.plans.recollection import remember
from runs.llm.demo.plans.research import research
from runs.llm.demo.plans.summaries import summary
from runs.llm.demo.team.lead import lead
from runs.llm.demo.team.member import contribute
from runs.llm.demo.team.seat import Seat, read_seat
from runs.llm.demo.text.reading import Reading
from runs.llm.demo.transcript import Turn, call_ids, read_turn
from runs.llm.demo.wishes import (
    Ask,
    CountLines,
    Greet,
    Help,
    Impossible,
    ListFiles,
    Outline,
    Overview,
    Remember,
    Replace,
    Save,
    Search,
    ShowFile,
    Summarise,
    Thanks,
    Wish,
)
from runs.llm.demo.wishes.understanding import understand
from runs.llm.demo.words.phrases import Voice
from runs.llm.demo.words.terms import CJK, language_of
from runs.llm.types import Answer, Request, ToolCall, Usage

NAME = "demo"
PACE_SECONDS = 0.006
LONGEST_STREAM_SECONDS = 1.5

SAID = {Greet: "greeting", Thanks: "thanks", Help: "help", Impossible: "impossible"}
CHORES: dict[type[Wish], Callable[[Any, Toolbox, Voice], Plan]] = {
    ListFiles: list_files,
    Overview: overview,
    ShowFile: show_file,
    CountLines: count_lines,
    Summarise: summarise,
    Outline: outline,
    Search: search,
    Replace: replace_text,
    Remember: remember,
}

_FRAGMENT = re.compile(rf"[{CJK}]{{1,2}}|\s*[^\s{CJK}]+\s*|\s+")


class DemoModel:
    """Deterministic: the same conversation gets the same answer, down to the ids of its tool calls."""

    def __init__(self, pace: float = PACE_SECONDS) -> None:
        self._pace = pace

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Fragments of the text, then the Answer: tool calls while the plan needs more, else the end of the turn."""
        step = next_step(request)
        text = step.say if isinstance(step, Batch) else step.body
        calls = tool_calls(step.calls, request.messages) if isinstance(step, Batch) else ()
        yield from self._paced(text)
        yield Answer(
            text=text,
            tool_calls=calls,
            usage=estimated_usage(request, text, calls),
            model=NAME,
            finish_reason="tool_calls" if calls else "stop",
        )

    def _paced(self, text: str) -> Iterator[str]:
        fragments = _FRAGMENT.findall(text)
        pause = min(self._pace, LONGEST_STREAM_SECONDS / max(len(fragments), 1))
        for fragment in fragments:
            yield fragment
            time.sleep(pause)


def next_step(request: Request) -> Batch | Report:
    """What a run that has come this far does next: its plan is begun anew and told what was found so far."""
    placed = read_seat(request.messages)
    seat, turn = placed or (None, read_turn(request.messages))
    voice, tools = Voice(language_of(turn.question)), Toolbox(request.tools)
    try:
        plan = part_of(seat, turn, tools, voice) if seat else plan_for(turn, tools, voice)
        step = _replayed(plan, turn.rounds)
    except UnreadableError as problem:
        step = Report(problem.reason)
    return _labelled(step, voice) if isinstance(step, Report) else step


def part_of(seat: Seat, turn: Turn, tools: Toolbox, voice: Voice) -> Plan:
    """What it does as a member of a team: the same, and it tells the others; or, as their lead, it decides."""
    own = plan_for(turn, tools, voice)
    if seat.leads:
        return lead(own, wish_of(turn), seat, tools, voice)
    return contribute(own, wish_of(turn), seat, tools, voice)


def wish_of(turn: Turn) -> Wish:
    return understand(turn.question, earlier_question=turn.earlier_question, earlier_answer=turn.earlier_answer)


def plan_for(turn: Turn, tools: Toolbox, voice: Voice) -> Plan | Report:
    wish = wish_of(turn)
    match wish:
        case Summarise() | Overview() | Ask() if reading := _attached(wish, turn):
            return summary(reading, voice)
        case Greet() | Thanks() | Help() | Impossible():
            return Report(voice.say(SAID[type(wish)]))
        case Ask():
            return research(wish, tools, voice, turn.attached) if wish.terms else Report(voice.say("no_terms"))
        case Save():
            return save(wish, tools, voice, earlier_answer=turn.earlier_answer)
        case _:
            return CHORES[type(wish)](wish, tools, voice)


def _attached(wish: Summarise | Overview | Ask, turn: Turn) -> Reading | None:
    return to_summarise(turn.question, wish.path if isinstance(wish, Summarise) else "", turn.attached)


def _replayed(plan: Plan | Report, rounds: tuple[dict[str, Reply], ...]) -> Batch | Report:
    if isinstance(plan, Report):
        return plan
    unasked = Reply(error="this call is not in the conversation")
    try:
        batch = next(plan)
        for found in rounds:
            batch = plan.send([found.get(call.key, unasked) for call in batch.calls])
    except StopIteration as end:
        report: Report = end.value
        return report
    return batch


def _labelled(report: Report, voice: Voice) -> Report:
    """Every answer says what gave it."""
    note = " ".join(filter(None, [report.note, voice.say("label")]))
    return Report(f"{report.body}\n\n---\n\n*{note}*")


def tool_calls(calls: tuple[Call, ...], messages: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """The calls under ids that are new to this conversation and the same each time it is asked."""
    taken = call_ids(messages)
    made = []
    for index, call in enumerate(calls):
        raw = json.dumps(call.arguments, ensure_ascii=False)
        made.append(ToolCall(_new_id(f"{len(taken)} {index} {call.key}", taken), call.name, call.arguments, raw))
    return tuple(made)


def _new_id(seed: str, taken: set[str]) -> str:
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()
    return next(name for at in range(40) if (name := f"demo_{digest[at : at + 16]}") not in taken)


def estimated_usage(request: Request, text: str, calls: tuple[ToolCall, ...]) -> Usage:
    """An estimate, as if a tokenizer made four letters, or one Chinese character, into a token. It costs nothing."""
    asked = json.dumps([request.messages, request.tools], ensure_ascii=False, default=str)
    answered = text + "".join(call.name + call.raw for call in calls)
    return Usage(estimated_tokens(asked), estimated_tokens(answered), cost=Decimal(0))


def estimated_tokens(text: str) -> int:
    chinese = len(re.findall(f"[{CJK}]", text))
    return chinese + (len(text) - chinese + 3) // 4
