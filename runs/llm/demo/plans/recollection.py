"""What the demo model asks of the memory, and has it keep."""

from __future__ import annotations

from runs.llm.demo.calls import Batch, Call, Plan, Reply, Report, Toolbox
from runs.llm.demo.text.quotes import plain, shortened
from runs.llm.demo.text.reading import LONGEST_LINE, MEMORY, Reading
from runs.llm.demo.wishes import Ask, Remember
from runs.llm.demo.words.phrases import Voice, code

MOST_MEMORIES = 8
LONGEST_QUERY = 1000
IMPORTANCE = 0.7  # of what somebody asked to have remembered


def asking_memory(ask: Ask, tools: Toolbox) -> list[Call]:
    """The search in memory for a question, with what it takes over from the question before."""
    carried = [term.label for term in ask.terms if term.label.lower() not in ask.text.lower()]
    return tools.call("memory_search", query=" ".join([ask.text, *carried])[:LONGEST_QUERY], top_k=MOST_MEMORIES)


def memories_of(reply: Reply) -> list[Reading]:
    """What was remembered, each memory as something read.

    What earlier runs came to is left out: it quotes what is found again where it stands, and a model that quotes would
    soon quote itself.
    """
    hits = [hit for hit in reply.items("results") if isinstance(hit, dict)]
    return [reading for hit in hits if not _is_run(hit) and (reading := _reading(hit))]


def remember(wish: Remember, tools: Toolbox, voice: Voice) -> Plan:
    """Keep what somebody said, in their own words."""
    calls = tools.call("memory_write", type="core", text=wish.text, importance=IMPORTANCE)
    if not calls:
        return Report(voice.say("tool_missing", tool="memory_write"))
    [reply] = yield Batch(voice.say("say_remember"), tuple(calls))
    if reply.error:
        return Report(voice.say("not_remembered", error=reply.error))
    source = code(f"{MEMORY}{reply.text('id')}")
    return Report(voice.say("remembered", text=shortened(plain(wish.text)), source=source))


def _reading(hit: dict[str, object]) -> Reading | None:
    memory_id, text = hit.get("id"), hit.get("text")
    if not isinstance(memory_id, str) or not isinstance(text, str):
        return None
    lines = tuple(line[:LONGEST_LINE] for line in text.splitlines())
    return Reading(f"{MEMORY}{memory_id}", lines, 1, len(lines))


def _is_run(hit: dict[str, object]) -> bool:
    source = hit.get("source")
    return isinstance(source, dict) and source.get("kind") == "run"
