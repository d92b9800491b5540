"""Keeping a conversation within what the model can be shown.

| share of the budget | what happens                                                                        |
|---------------------|-------------------------------------------------------------------------------------|
| below 70 %          | nothing: the conversation only grows, so that providers can cache its beginning     |
| 70 %                | `run.warning`, once                                                                 |
| 80 %                | older turns become a summary, `run.compacted`, until half of the budget is free     |

The system prompt, the task and the newest turn always stay. Nothing is lost: the log has it all, and `run.compacted`
has what the fold of the log needs to show the same conversation to another worker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.db import transaction

from runs import budgets
from runs.engine import conversation, model_call, summary
from runs.engine.conversation import Compaction, Message
from runs.engine.work import Work
from runs.events import Draft, EventType
from runs.llm import context
from runs.llm.types import Answer, ModelError
from runs.models import Event

HIGH_WATER = "CONTEXT_HIGH_WATER"

_WARN_AT, _COMPACT_AT, _TARGET = 0.70, 0.80, 0.50
_RESERVE = 4_096  # tokens, beside those of the answer: what an estimate may be wrong by
_OUTPUT_CHARS = (8_000, 2_000, 500)  # of a tool's output: tried one after another
_SUMMARY_CHARS = 8_000
_LEAST_GAIN = 0.10  # of the tokens: less isn't worth a new beginning for the provider's cache


def ask(work: Work) -> Answer:
    """Buy the next answer for a conversation that fits; see `model_call.ask_model` for what it raises.

    If the provider finds it too long all the same, it is compacted once, and asked again.
    """
    _make_room(work)
    try:
        return model_call.ask_model(work)
    except ModelError as error:
        if error.code != "LLM_CONTEXT_TOO_LONG" or not _shrink(work):
            raise
    return model_call.ask_model(work)


@dataclass(frozen=True)
class Material:
    """What can be compacted: how the conversation begins, what came before the task, and what was said since."""

    opening: Callable[[Compaction], list[Message]]
    earlier: Sequence[tuple[str, str]]
    events: Sequence[Event]
    upto_seq: int = 0  # what was compacted before stays so

    def compacted(self, upto_seq: int, *, output_chars: int, summary_chars: int) -> Compaction:
        """Return the compaction that replaces what was said up to `upto_seq`."""
        older = [event for event in self.events if event.seq <= upto_seq]
        text = summary.write(earlier=self.earlier, events=older, limit=summary_chars)
        return Compaction(self.events[-1].seq + 1 if self.events else 1, upto_seq, text, output_chars)

    def shown(self, compaction: Compaction) -> list[Message]:
        """Return what the model would see after it."""
        return conversation.fold(self.opening(compaction), self.events, compaction=compaction)


def choose(material: Material, *, measure: Callable[[list[Message]], int], at_most: int) -> Compaction:
    """Return the compaction that keeps the most of what fits into `at_most`, else the one that keeps the least."""
    ends = _ends(material)
    summary_chars = min(_SUMMARY_CHARS, at_most // 2)

    def most_that_fits(output_chars: int) -> Compaction | None:
        def upto(end: int) -> Compaction:
            return material.compacted(end, output_chars=output_chars, summary_chars=summary_chars)

        # the more is replaced the less is left: few have to be tried
        place = bisect_left(ends, -at_most, key=lambda end: -measure(material.shown(upto(end))))
        return upto(ends[place]) if place < len(ends) else None

    fitting = (found for output_chars in _OUTPUT_CHARS if (found := most_that_fits(output_chars)))
    least = material.compacted(ends[-1], output_chars=_OUTPUT_CHARS[-1], summary_chars=summary_chars)
    return next(fitting, least)


def _ends(material: Material) -> list[int]:
    """Up to where a compaction may go: the ends of finished steps, the newest one excepted."""
    steps = [list(step) for _, step in groupby(material.events, key=lambda event: event.step)]
    answered = [step for step in steps if any(event.type == EventType.LLM_CALLED for event in step)]
    ends = [step[-1].seq for step in answered[:-1] if step[-1].seq > material.upto_seq]
    return [material.upto_seq, *ends]


def _make_room(work: Work) -> None:
    """Warn of a conversation that gets long, and compact one that is."""
    used, budget = _tokens(work, work.conversation()), _budget(work)
    if used >= _WARN_AT * budget and HIGH_WATER not in work.warned:
        message = f"The conversation takes about {used} of {budget} tokens; older turns will be summed up"
        work.record(Draft(EventType.RUN_WARNING, {"code": HIGH_WATER, "message": message}))
    if used >= _COMPACT_AT * budget:
        _compact(work, at_most=round(_TARGET * budget), reason="high_water")


@transaction.atomic
def _shrink(work: Work) -> bool:
    """Compact what a provider has refused; False if that was tried in this step already, or can't help."""
    if any(
        event.payload.get("reason") == "refused" for event in work.step_events if event.type == EventType.RUN_COMPACTED
    ):
        return False
    at_most = min(round(_TARGET * _budget(work)), _tokens(work, work.conversation()) // 2)
    if not _compact(work, at_most=at_most, reason="refused"):
        return False
    budgets.release(work.run)  # the refused call came to nothing, and another one will be paid for
    work.held = None
    return True


@transaction.atomic
def _compact(work: Work, *, at_most: int, reason: str) -> bool:
    """Replace older turns by a summary, and say so in the log. False if that would gain next to nothing."""
    material = Material(
        opening=lambda compaction: conversation.opening(work.run, work.turn, compaction=compaction),
        earlier=conversation.earlier_runs(work.run),
        events=work.said_so_far(),
        upto_seq=work.compaction.upto_seq if work.compaction else 0,
    )
    chosen = choose(material, measure=lambda messages: _tokens(work, messages), at_most=at_most)
    before, after = work.conversation(), material.shown(chosen)
    tokens_before, tokens_after = _tokens(work, before), _tokens(work, after)
    if tokens_before - tokens_after < _LEAST_GAIN * tokens_before:
        return False
    payload = {
        "reason": reason,
        "message": f"Older turns were summed up: {len(before)} messages are {len(after)} now",
        "messages_before": len(before),
        "messages_after": len(after),
        "tokens_saved": tokens_before - tokens_after,
    }
    work.compact(Draft(EventType.RUN_COMPACTED, payload | chosen.payload()))
    return True


def _tokens(work: Work, messages: list[Message]) -> int:
    """About how many tokens the model would be sent, as far as its provider's last count tells."""
    return round(context.estimate(messages, model_call.definitions(work)) * work.correction)


def _budget(work: Work) -> int:
    """The most tokens that a prompt may have. In a very small window, the reserve is half of it."""
    window = work.turn.config.get("context_tokens", context.DEFAULT_WINDOW)
    return int(window - min(work.turn.config["model"]["max_tokens"] + _RESERVE, window // 2))
