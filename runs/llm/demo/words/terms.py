"""From a question to the terms it is searched by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise

from runs.llm.demo.words.stems import REMEMBERED, english_form, stem
from runs.llm.demo.words.vocabulary import CHINESE_STOP, CHINESE_WEAK, DEEDS, GLOSSARY, KIN, STOP, WEAK

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
LONGEST_TERM = max(map(len, GLOSSARY))
MOST_TERMS = 16
LONGEST_QUESTION = 4000
LONGEST_WORD = 60
STRONG = 0.5  # the least weight of a term that says what a question is about

_QUOTED = re.compile(r"[\"“”「『`]([^\"“”「」『』`\n]{1,80})[\"“”」』`]|(?<!\w)'([^'\n]{2,80})'(?!\w)")
_IDENTIFIER = re.compile(
    r"--[a-z][\w-]+|[A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z0-9_]+)+|_+[A-Za-z]\w+"
    r"|[a-z]+[A-Z]\w+|[A-Z][a-z0-9]+[A-Z]\w*|[A-Z]{2,}\d*\b|[A-Za-z]+\d+\w*"
)
_WORD = re.compile(rf"[A-Za-z][A-Za-z'’-]*|[0-9]+(?:\.[0-9]+)*|[{CJK}]+")


# What is done weighs less than what it is done to.
_DEEDS = frozenset(map(stem, DEEDS))


@dataclass(frozen=True)
class Term:
    """One thing asked about. `forms` and `kin` are patterns that RE2 and Python read alike."""

    label: str
    forms: str
    kin: str = ""
    weight: float = 1.0
    adjoins: bool = False  # stands right after the term before it

    @property
    def is_strong(self) -> bool:
        """Whether it says what a question is about."""
        return self.weight >= STRONG

    @cached_property
    def _forms(self) -> re.Pattern[str]:
        return re.compile(self.forms, re.IGNORECASE | re.ASCII)

    @cached_property
    def _kin(self) -> re.Pattern[str] | None:
        return re.compile(self.kin, re.IGNORECASE | re.ASCII) if self.kin else None

    def strength(self, text: str, *, kin: float = 0.0) -> float:
        """1 where the term itself stands in `text`, `kin` where only a relative of it does, else 0."""
        if self._forms.search(text):
            return 1.0
        return kin if kin and self._kin and self._kin.search(text) else 0.0

    def find(self, text: str) -> Iterator[re.Match[str]]:
        return self._forms.finditer(text)


def language_of(text: str) -> str:
    """ "zh" as soon as there is a Chinese character, else "en"."""
    return "zh" if re.search(f"[{CJK}]", text) else "en"


def terms_of(text: str) -> list[Term]:
    """The terms of a question, in its order, each once; no more than MOST_TERMS."""
    text = text[:LONGEST_QUESTION]
    found: dict[str, Term] = {}
    rest = text
    for match in _QUOTED.finditer(text):
        phrase = (match[1] or match[2]).strip()
        if phrase:
            found.setdefault(phrase.lower(), exact_term(phrase))
            rest = rest.replace(match[0], " " * len(match[0]), 1)
    for match in _IDENTIFIER.finditer(rest):
        found.setdefault(match[0].lower(), _identifier_term(match[0][:LONGEST_WORD]))
    for match in _WORD.finditer(_IDENTIFIER.sub(" ", rest)):
        for term in _terms_of_word(match[0], is_name=match.start() > 0 and match[0][0].isupper()):
            found.setdefault(term.forms, term)
    unique = {term.forms: term for term in reversed(found.values())}
    return _adjoined(list(reversed(unique.values()))[:MOST_TERMS], text.lower())


def _adjoined(terms: list[Term], text: str) -> list[Term]:
    """The terms in the order of the text, knowing which of them follow one another without a word between."""
    terms.sort(key=lambda term: text.find(term.label.lower()))
    joined = terms[:1]
    for before, term in pairwise(terms):
        side_by_side = re.escape(before.label.lower()) + r"\s{0,2}" + re.escape(term.label.lower())
        joined.append(replace(term, adjoins=bool(re.search(side_by_side, text))))
    return joined


def exact_term(phrase: str) -> Term:
    return Term(phrase, re.escape(phrase).replace(r"\ ", r"\s+"), weight=1.5)


def fainter(term: Term, factor: float) -> Term:
    return replace(term, weight=term.weight * factor)


def strong(terms: list[Term]) -> list[Term]:
    """The terms that say what a question is about."""
    return [term for term in terms if term.is_strong]


def _identifier_term(name: str) -> Term:
    if not (name.isupper() and name.isalpha()):
        return Term(name, re.escape(name), weight=1.5)
    ending = r"s?(?:\b|_)" if len(name) == 2 else ""
    return Term(name, rf"(?:\b|_){name}{ending}", kin=_english_kin(name.lower()), weight=1.3)


def _terms_of_word(word: str, *, is_name: bool) -> Iterator[Term]:
    if language_of(word) == "zh":
        yield from _chinese_terms(word)
        return
    word = word.replace("’", "'").lower().removesuffix("'s").strip("'-")
    if word in STOP or (len(word) < 2 and not word.isdigit()) or len(word) > LONGEST_WORD:
        return
    weight = 0.3 if word in WEAK else 0.6 if stem(word) in _DEEDS else 1.0
    form = english_form(word)
    if is_name:  # "Redis" is not the beginning of "redistribute"
        form = form.replace(r"\w*", r"\w{0,6}\b")
    forms = "|".join([form, *_chinese_for(stem(word))])
    yield Term(word, forms, kin=_english_kin(word), weight=weight)


def _chinese_terms(run: str) -> Iterator[Term]:
    unknown = ""
    for piece, known in _cut(run):
        if not known:
            unknown += piece
            continue
        yield from _bigrams(unknown)
        unknown = ""
        if piece in GLOSSARY:
            yield _glossary_term(piece)
    yield from _bigrams(unknown)


def _cut(run: str) -> Iterator[tuple[str, bool]]:
    """Longest known word first, from the left; what is unknown comes out by the character."""
    start = 0
    while start < len(run):
        for length in range(min(LONGEST_TERM, len(run) - start), 0, -1):
            piece = run[start : start + length]
            if piece in GLOSSARY or piece in CHINESE_STOP:
                yield piece, True
                break
        else:
            length = 1
            yield run[start], False
        start += length


def _bigrams(run: str) -> Iterator[Term]:
    """Pairs of characters of an unknown run; a lone one says too little."""
    for start in range(len(run) - 1):
        pair = run[start : start + 2]
        yield Term(pair, pair, weight=1.0 if len(run) == 2 else 0.6)


def _glossary_term(word: str) -> Term:
    english = GLOSSARY[word]
    forms = "|".join([word, *map(english_form, english)])
    kin = "|".join(filter(None, map(_english_kin, english)))
    return Term(word, forms, kin=kin, weight=0.3 if word in CHINESE_WEAK else 1.0)


@lru_cache(maxsize=REMEMBERED)
def _english_kin(word: str) -> str:
    base = stem(word)
    families = [family for family in KIN if base in map(stem, family)]
    relatives = dict.fromkeys(kin for family in families for kin in family if stem(kin) != base)
    return "|".join(map(english_form, relatives))


@lru_cache(maxsize=REMEMBERED)
def _chinese_for(base: str) -> tuple[str, ...]:
    return tuple(term for term, words in GLOSSARY.items() if base in map(stem, words))
