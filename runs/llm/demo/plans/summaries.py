"""Say what a file holds in its own sentences: sections and what each begins with, definitions and what each promises."""

from __future__ import annotations

import re

from runs.llm.demo.calls import Report
from runs.llm.demo.text.blocks import blocks_of, sentences_of
from runs.llm.demo.text.quotes import plain, quoted, shortened, source_of
from runs.llm.demo.text.reading import Block, Reading, is_code
from runs.llm.demo.text.source import defined_name
from runs.llm.demo.words.phrases import Voice, code

MOST_POINTS = 16
MOST_MEMBERS = 8
LONGEST_POINT = 260
FEW_SECTIONS, SENTENCES_OF_FEW = 6, 3
LINES_WHEN_SPEECHLESS = 12


def summary(reading: Reading, voice: Voice) -> Report:
    if not reading.lines:
        return Report(voice.say("empty_file", path=reading.path))
    head = voice.say("summary", path=reading.path, lines=f"{reading.total:,}")
    opening, points = _code_points(reading) if is_code(reading.path) else _prose_points(reading)
    if not opening and not points:
        begin = quoted(reading.path, reading.lines[:LINES_WHEN_SPEECHLESS])
        return Report(f"{head} {voice.say('no_summary')}\n\n{begin}")
    notes = [voice.say("extracted")]
    if reading.end < reading.total:
        notes.append(voice.say("summary_part", end=reading.end, total=reading.total))
    if len(points) > MOST_POINTS:
        points = [*points[:MOST_POINTS], f"- {voice.say('more', count=len(points) - MOST_POINTS)}"]
    return Report("\n\n".join(filter(None, [head, opening, "\n".join(points)])), voice.space.join(notes))


def said_first(reading: Reading) -> list[str]:
    """What each section says first, with its place."""
    first: dict[str, str] = {}
    for block in blocks_of(reading):
        spoken = next((each for each in sentences_of(block) if each.spoken), None)
        if spoken and block.context not in first:
            says = shortened(plain(spoken.text), LONGEST_POINT)
            first[block.context] = f"{says} ({source_of(block, spoken.line)})"
    return list(first.values())[:MOST_POINTS]


def first_words(reading: Reading) -> str:
    """The first sentence of a file; "" when it has none."""
    return next((says for block in blocks_of(reading) if (says := first_sentence(block))), "")


def outline_of(reading: Reading) -> list[str]:
    """Headings or definitions as a nested list with their lines."""
    if is_code(reading.path):
        return [_definition_entry(block) for block in blocks_of(reading) if defined_name(block)]
    return [
        f"{'  ' * (block.context.count(' › ') + bool(block.context))}- {plain(block.lines[0])} (:{block.start})"
        for block in blocks_of(reading)
        if block.kind == "heading"
    ]


def _definition_entry(block: Block) -> str:
    says = first_sentence(block)
    depth = block.context.count(".")
    return f"{'  ' * depth}- {code(defined_name(block))} (:{block.start}){': ' + says if says else ''}"


def first_sentence(block: Block) -> str:
    said = next((s.text for s in sentences_of(block) if s.spoken), "")
    return shortened(plain(said), LONGEST_POINT) if said else ""


def _code_points(reading: Reading) -> tuple[str, list[str]]:
    blocks = blocks_of(reading)
    opening = first_sentence(blocks[0]) if blocks and not blocks[0].context else ""
    outermost = [block for block in blocks if defined_name(block) and "." not in block.context]
    points = [_definition_entry(block) + _members(block.context, blocks) for block in outermost]
    return opening if len(opening.split()) > 2 else "", points


def _members(owner: str, blocks: list[Block]) -> str:
    """The public names defined right inside `owner`."""
    inside = [block.context.rpartition(".") for block in blocks if defined_name(block)]
    names = [name for outer, _, name in inside if outer == owner and not name.startswith("_")]
    shown = ", ".join(map(code, names[:MOST_MEMBERS]))
    return f" — {shown}{' …' if len(names) > MOST_MEMBERS else ''}" if names else ""


def _prose_points(reading: Reading) -> tuple[str, list[str]]:
    """The first paragraph, then what each section says first; of few sections, a little more."""
    opening: Block | None = None
    sections: dict[str, list[Block]] = {}
    for block in blocks_of(reading):
        if block.kind == "heading" or not first_sentence(block):
            continue
        if not sections and block.kind == "prose" and " › " not in block.context:
            opening = opening or block
        sections.setdefault(block.context, []).append(block)
    if opening:
        sections[opening.context].remove(opening)
    most = SENTENCES_OF_FEW if len(sections) <= FEW_SECTIONS else 1
    points = [_section_point(title, blocks[:most]) for title, blocks in sections.items() if blocks]
    return _paragraph(opening) if opening else "", points


def _paragraph(block: Block) -> str:
    return shortened(" ".join(plain(sentence.text) for sentence in sentences_of(block)), 2 * LONGEST_POINT)


def _section_point(context: str, blocks: list[Block]) -> str:
    title = plain(context.rpartition(" › ")[2])
    says = shortened(" ".join(map(_ended, map(first_sentence, blocks))).rstrip(";"), 2 * LONGEST_POINT)
    return f"- {f'**{title}**: ' if title else ''}{says} (:{blocks[0].start})"


def _ended(sentence: str) -> str:
    """With a mark at its end, so that another may follow."""
    return sentence if re.search(r"[.!?:;…。！？：；][\"'*”)]*$", sentence) else f"{sentence};"
