"""How well the form of a sentence fits the form of a question."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runs.llm.demo.ranking.weights import Weights
from runs.llm.demo.text.reading import Sentence
from runs.llm.demo.text.source import DEFINITION
from runs.llm.demo.wishes import Kind
from runs.llm.demo.words.terms import Term, strong

OPENING = re.compile(DEFINITION + r"|^#{1,6}\s|^\s*\[", re.ASCII)
_NUMBER = re.compile(
    r"(?<![\w.])[$€£¥]?\d(?:[\d,_]*\d)?(?:\.\d+)?(?:\s?(?:%|ms|[smhdx]\b|seconds?|minutes?|hours?|days?|weeks?|[KMG]i?B\b|秒|分钟|小时|天|周|年|次|元|个|条|人|步))?"
)
_TIME = re.compile(r"ms|[smhd]\b|second|minute|hour|day|week|秒|分钟|小时|天|周")
_REASON = re.compile(
    r"\b(?:because|so that|therefore|since|otherwise|reason|in order to|why)\b|因为|所以|以便|否则|因此|为了|原因|,? so \b",
    re.I,
)
_ASKS = re.compile(r"[?？][\"”'*_)」]*(?:\s|$)")
_IMPORT = re.compile(r"(?:from|import|#include|use|using|require|package)\b")
_ASSIGNMENT = re.compile(
    r"\W{0,4}((?!self\.)[\w.-]+)[\"']?\s*(?::[^=]{1,40})?[=:]\s*[\w\"'.(]*(?:\d|None|True|False|[\"'])"
)
_CODE = re.compile(r"`[^`]*`")
_LEADS_ON = re.compile(r"^(?:see|todo|note:)\b|[:：][*_)]*$", re.I)

MUCH_CODE = 0.35  # the share of a sentence in code marks from which it is rather a list of names
LONGEST_SIGNATURE = 16  # lines from a decorator to the end of a docstring's beginning
FEW_WORDS, MANY_WORDS = 4, 45


def fitness(sentence: Sentence, weights: Weights, kind: Kind) -> float:
    """How well the form of a sentence fits the form of the question: 1 is indifferent, more is better."""
    return _by_wording(sentence, weights, kind) * _by_kind(sentence, weights, kind) * _by_length(sentence)


def _by_wording(sentence: Sentence, weights: Weights, kind: Kind) -> float:
    text, form = sentence.text, sentence.block.kind
    fit = 1.0
    if sentence.spoken and form != "row" and kind is not Kind.WHERE:
        fit *= 1.25
    if sentence.spoken and opens_with(text, weights):
        fit *= 1.15
    if sentence.spoken and _LEADS_ON.search(text):
        fit *= 0.75
    if form != "code" and _ASKS.search(text):
        fit *= 0.5
    if form == "fence" and kind is not Kind.HOWTO:
        fit *= 0.8
    if not sentence.spoken and _IMPORT.match(text):
        fit *= 0.4
    if sum(map(len, _CODE.findall(text))) > MUCH_CODE * len(text):
        fit *= 0.8
    return fit


def _by_kind(sentence: Sentence, weights: Weights, kind: Kind) -> float:
    text = sentence.text
    assigns, defines = _assigns(sentence, weights), _defines(text, weights)
    if kind is Kind.NUMBER:
        return (2.0 if assigns else 1.0) * (1.5 if _NUMBER.search(text) else 1.0 if assigns else 0.7)
    if kind is Kind.WHAT and is_docstring_of_it(sentence, weights):
        return 1.8
    if kind is Kind.WHAT and defines:
        return 1.5
    if kind is Kind.WHY and _REASON.search(text):
        return 1.35
    if kind is Kind.WHERE and OPENING.match(text):
        return 1.2
    if sentence.block.kind == "row":
        return 1.3 if defines else 0.9
    return 1.3 if assigns and kind is not Kind.WHERE else 1.0


def _by_length(sentence: Sentence) -> float:
    words = len(sentence.text.split()) + len(re.findall("[\u4e00-\u9fff]", sentence.text)) // 2
    if words < FEW_WORDS and sentence.spoken and sentence.block.kind != "row":
        return 0.6
    return 1 / (1 + max(0, words - MANY_WORDS) / (2 * MANY_WORDS))


def is_docstring_of_it(sentence: Sentence, weights: Weights) -> bool:
    """Whether this is what a definition named in the question says of itself first."""
    block = sentence.block
    if block.kind != "code" or not sentence.spoken or sentence.line > block.start + LONGEST_SIGNATURE:
        return False
    name = block.context.split(".")[-1]
    return any(t.weight >= 0.5 and t.strength(name) == 1.0 for t in weights.terms)


def _assigns(sentence: Sentence, weights: Weights) -> bool:
    """Whether this line of code or of a configuration gives a value to what is asked about."""
    assigned = _ASSIGNMENT.match(sentence.text)
    if sentence.spoken or not assigned:
        return False
    strengths = zip(weights.terms, weights.strengths(assigned[1]), strict=True)
    return any(term.weight > 0.6 and strength == 1.0 for term, strength in strengths)


def opens_with(text: str, weights: Weights) -> bool:
    """Whether what is asked about is what the sentence is about: it stands at its head."""
    head = re.sub(r"^\W*(?:(?:the|a|an|each|every|when|if|to)\s+)?", "", text, flags=re.I)[:16]
    strengths = zip(weights.terms, weights.strengths(head), strict=True)
    return any(term.weight >= 0.5 and strength == 1.0 for term, strength in strengths)


def _defines(text: str, weights: Weights) -> bool:
    """ "X is …", "X: …", "| X | …": the asked-about thing opens the sentence and is said to be something."""
    opening = re.match(
        r"[\W_]*(?:(?:the|a|an)\s+)?(.{1,40}?)[`*\"）)]*\s*(?:\bis\b|\bare\b|\bmeans\b|:|=|\(|—|–|\||是|指|：|（)",
        text,
        re.I,
    )
    if not opening:
        return False
    return any(t.weight >= 0.5 and s == 1.0 for t, s in zip(weights.terms, weights.strengths(opening[1]), strict=True))


def asked_number(text: str, terms: Iterable[Term], *, timed: bool) -> str:
    """The number that stands nearest to a term in `text`, with its unit if it is a time; "" when there is none."""
    anchors = [match.span() for term in strong(list(terms)) for match in term.find(text)]
    numbers = list(_NUMBER.finditer(text))
    if timed:
        numbers = [number for number in numbers if _TIME.search(number[0])] or numbers
    if not numbers or not anchors:
        return ""
    return min(numbers, key=lambda number: min(_distance(text, number.span(), anchor) for anchor in anchors))[0].strip()


def _distance(text: str, number: tuple[int, int], anchor: tuple[int, int]) -> int:
    """A value follows its name more often than it precedes it, and seldom stands in another clause."""
    after = number[0] >= anchor[1]
    between = text[anchor[1] : number[0]] if after else text[number[1] : anchor[0]]
    return len(between) * (1 if after else 2) + 25 * len(re.findall("[;.,|；。，]", between))
