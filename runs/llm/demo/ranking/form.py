"""How well the form of a sentence fits the form of a question.

The factors were set by hand, against some ninety questions about three trees of files; results change little when
one of them does.
"""

from __future__ import annotations

import re

from runs.llm.demo.ranking.numbers import asked_number, numbers_in
from runs.llm.demo.ranking.weights import Weights
from runs.llm.demo.text.reading import Sentence
from runs.llm.demo.text.source import DEFINITION
from runs.llm.demo.wishes import Kind
from runs.llm.demo.words.stems import stem
from runs.llm.demo.words.terms import language_of

OPENING = re.compile(DEFINITION + r"|^#{1,6}\s|^\s*\[", re.ASCII)
_REASON = re.compile(
    r"\b(?:because|so that|therefore|since|otherwise|reason|in order to|why)\b|因为|所以|以便|否则|因此|为了|原因|,? so \b",
    re.I,
)
_ASKS = re.compile(r"[?？](?:[\"”'*_)」]+(?:\s|$)|\s*$)")
_IMPORT_OR_TEXT = re.compile(r"(?:from|import|#include|use|using|require|package)\b|[rbf]?[\"'][^\"]*[\"'][,)]*$")
_ASSIGNMENT = re.compile(
    r"\W{0,4}((?!self\.)[\w.-]+)[\"']?\s*(?::[^=]{1,40})?[=:]\s*[\w\"'.(]*(?:\d|None|True|False|[\"'])"
)
_CODE = re.compile(r"`[^`]*`")
_SAYS_WHAT_IT_IS = re.compile(
    r"[\W_]*(?:(?:the|an?)\s+)?(.{1,40}?)[`*\"）)]*\s*(?:\bis\b|\bare\b|\bmeans\b|:|=|\(|—|–|\||是|指|：|（)", re.I
)
_WITH_ARTICLE = re.compile(r"[\W_]*(?:an?|the)\s+(\S+)\s", re.I)
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
    if language_of(text) != weights.language:
        fit *= 0.9
    if form != "code" and _ASKS.search(text):
        fit *= 0.35
    if form == "fence":
        fit *= 1.2 if kind is Kind.HOWTO else 0.8
    if not sentence.spoken and _IMPORT_OR_TEXT.match(text):
        fit *= 0.4
    if sum(map(len, _CODE.findall(text))) > MUCH_CODE * len(text):
        fit *= 0.8
    return fit


def _by_kind(sentence: Sentence, weights: Weights, kind: Kind) -> float:
    text = sentence.text
    assigns, defines = _assigns(sentence, weights), _defines(text, weights)
    fit = 1.3 if assigns or (defines and sentence.block.kind == "row") else 1.0
    match kind:
        case Kind.NUMBER | Kind.TIME:
            fit = (2.0 if assigns else 1.0) * _by_number(sentence, weights, assigns=assigns, timed=kind is Kind.TIME)
        case Kind.WHAT if is_docstring_of_it(sentence, weights):
            fit = 1.8 if _is_called_so(sentence, weights) else 1.3
        case Kind.WHAT if defines:
            fit = 2.0 if sentence.block.kind == "row" else 1.5
        case Kind.WHY if _REASON.search(text):
            fit = 1.35
        case Kind.WHERE:
            fit = 1.2 if OPENING.match(text) else 1.0
    return fit


def _by_number(sentence: Sentence, weights: Weights, *, assigns: bool, timed: bool) -> float:
    """A number is worth most in words or as a value that is given; in a calculation it is only a number."""
    if not sentence.spoken and not assigns:
        return 0.9
    if numbers_in(sentence.text, timed=timed):
        return 1.5 if asked_number(sentence.text, weights.terms, timed=timed) else 1.1
    return 1.0 if assigns or (timed and numbers_in(sentence.text, timed=False)) else 0.7


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
    return weights.stands_in(block.context.split(".")[-1])


def _is_called_so(sentence: Sentence, weights: Weights) -> bool:
    """Whether the definition bears just the name that was asked for."""
    name = sentence.block.context.split(".")[-1].lower()
    return any(stem(name) == stem(term.label.lower()) for term in weights.terms)


def _assigns(sentence: Sentence, weights: Weights) -> bool:
    """Whether this line of code or of a configuration gives a value to what is asked about."""
    assigned = None if sentence.spoken else _ASSIGNMENT.match(sentence.text)
    return assigned is not None and weights.stands_in(assigned[1])


def opens_with(text: str, weights: Weights) -> bool:
    """Whether what is asked about is what the sentence is about: it stands at its head."""
    head = re.sub(r"^\W*(?:(?:the|a|an|each|every|when|if|to)\s+)?", "", text, flags=re.I)[:16]
    return weights.stands_in(head)


def _defines(text: str, weights: Weights) -> bool:
    """ "X is …", "X: …", "| X | …", "A X does …": the asked-about thing opens the sentence, which says what it is."""
    opening = _SAYS_WHAT_IT_IS.match(text) or _WITH_ARTICLE.match(text)
    return opening is not None and weights.stands_in(opening[1])
