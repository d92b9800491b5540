"""Which passages to show: the few blocks that hold the best findings."""

from __future__ import annotations

from dataclasses import replace

from runs.llm.demo.ranking.findings import Finding
from runs.llm.demo.text.blocks import blocks_of
from runs.llm.demo.text.quotes import Quote
from runs.llm.demo.text.reading import Reading, Sentence

MOST_QUOTES = 3
WHOLE_CODE_LINES = 26
MOST_QUOTED_LINES = 32
PART_CODE_LINES = 14
WHOLE_PROSE_CHARACTERS = 1100
MOST_EXAMPLE_LINES = 16
LEAST_SHARE = 0.6  # of the best block's score; what falls below isn't quoted


def choose_quotes(findings: list[Finding], readings: list[Reading]) -> list[Quote]:
    """The few passages that hold the best findings, that of the best first; neighbours in one quote."""
    best: dict[tuple[str, int], list[Finding]] = {}
    for finding in findings:
        block = finding.sentence.block
        best.setdefault((block.path, block.start), []).append(finding)
    groups = sorted(best.values(), key=lambda group: (findings[0] not in group, -_worth(group)))
    chosen: list[Quote] = []
    for group in groups:
        if chosen and (len(chosen) == MOST_QUOTES or _worth(group) < LEAST_SHARE * _worth(groups[0])):
            break
        quote = _quote(group[0].sentence)
        _add(chosen, with_example(quote, readings) or quote, readings)
    return chosen


def with_example(quote: Quote, readings: list[Reading]) -> Quote | None:
    """A passage that leads on to a fenced example, together with it; None when it doesn't."""
    reading = next((r for r in readings if r.path == quote.path and r.start <= quote.start <= quote.end <= r.end), None)
    if not reading or not quote.lines[-1].rstrip().endswith((":", "：")):
        return None
    blocks = blocks_of(reading)
    index = next((i for i, block in enumerate(blocks) if block.start <= quote.end <= block.end), len(blocks))
    following = blocks[index + 1] if index + 1 < len(blocks) else None
    if not following or following.kind != "fence" or len(following.lines) > MOST_EXAMPLE_LINES:
        return None
    lines = reading.lines[quote.start - reading.start : following.end - reading.start + 1]
    return replace(quote, lines=lines)


def _worth(group: list[Finding]) -> float:
    return group[0].score + 0.2 * sum(finding.score for finding in group[1:3])


def _add(chosen: list[Quote], quote: Quote, readings: list[Reading]) -> None:
    for index, other in enumerate(chosen):
        near = other.path == quote.path and quote.start <= other.end + 2 and other.start <= quote.end + 2
        if not near or bool(other.lead) != bool(quote.lead):
            continue
        start, end = min(other.start, quote.start), max(other.end, quote.end)
        lines = next(
            (_cut(r, start, end) for r in readings if r.path == quote.path and r.start <= start and end <= r.end), None
        )
        if lines and len(lines) <= MOST_QUOTED_LINES:
            chosen[index] = Quote(quote.path, start, lines, other.context, other.lead)
            return
    chosen.append(quote)


def _cut(reading: Reading, start: int, end: int) -> tuple[str, ...]:
    return reading.lines[start - reading.start : end - reading.start + 1]


def _quote(sentence: Sentence) -> Quote:
    block = sentence.block
    whole = len(block.lines) <= WHOLE_CODE_LINES if block.kind == "code" else len(block.text) <= WHOLE_PROSE_CHARACTERS
    if whole:
        return Quote(block.path, block.start, block.lines, block.context, block.lead)
    at = sentence.line - block.start
    span = PART_CODE_LINES if block.kind == "code" else 5
    first = 0 if at < span - 3 else max(0, min(at - span // 3, len(block.lines) - span))
    return Quote(block.path, block.start + first, block.lines[first : first + span], block.context, block.lead)
