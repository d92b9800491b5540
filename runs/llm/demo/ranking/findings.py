"""What answers: the sentences that say most of what was asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runs.llm.demo.ranking.form import fitness, is_docstring_of_it
from runs.llm.demo.ranking.weights import Weights, most, prior, scaled
from runs.llm.demo.text.blocks import blocks_of, sentences_of
from runs.llm.demo.text.reading import Block, Reading, Sentence
from runs.llm.demo.wishes import Kind

HEADING_CREDIT = 0.75
NEIGHBOUR_CREDIT = 0.4
REACH = 4  # sentences to either side that count as neighbours


@dataclass(frozen=True)
class Finding:
    sentence: Sentence
    score: float
    covered: float


def best_findings(readings: Iterable[Reading], *, weights: Weights, kind: Kind) -> list[Finding]:
    """Every sentence that says something of what was asked, best first, repeated ones once."""
    findings: dict[str, Finding] = {}
    for reading in readings:
        blocks = blocks_of(reading)
        for index, block in enumerate(blocks):
            for finding in _findings(block, _followed_by_example(blocks, index), weights, kind):
                known = findings.get(finding.sentence.text)
                if known is None or known.score < finding.score:
                    findings[finding.sentence.text] = finding
    return sorted(findings.values(), key=lambda f: (-f.score, f.sentence.block.path, f.sentence.line))


def _followed_by_example(blocks: list[Block], index: int) -> bool:
    return any(block.kind == "fence" for block in blocks[index : index + 2])


def _findings(block: Block, example: bool, weights: Weights, kind: Kind) -> Iterable[Finding]:
    sentences = sentences_of(block)
    direct = [_direct(sentence, weights) for sentence in sentences]
    around = scaled(weights.strengths(block.context), HEADING_CREDIT)
    in_path = weights.in_path(block.path)
    for index, sentence in enumerate(sentences):
        near = most(*direct[max(0, index - REACH) : index + REACH + 1])
        best = most(direct[index], around, in_path, scaled(near, NEIGHBOUR_CREDIT))
        own = weights.sum(direct[index]) + weights.together(sentence.text)
        if not own and weights.sum(around) < 0.5 * HEADING_CREDIT * weights.total:
            continue
        covered = weights.sum(best) / weights.total
        score = (0.35 * own + weights.sum(best)) * (0.4 + 0.6 * covered)
        score *= fitness(sentence, weights, kind) * prior(block.path, weights, kind)
        if kind is Kind.HOWTO and example:
            score *= 1.35
        yield Finding(sentence, score, covered)


def _direct(sentence: Sentence, weights: Weights) -> tuple[float, ...]:
    """What stands in the sentence; a docstring also says what its definition is called."""
    strengths = weights.strengths(sentence.text)
    if is_docstring_of_it(sentence, weights):
        return most(strengths, weights.strengths(sentence.block.context.split(".")[-1]))
    return strengths
