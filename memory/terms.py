"""Text as the word arm sees it: terms, whatever the language, each with a number.

Words of alphabetic scripts are folded (width, case, accents) and stemmed as English is; scripts that write no spaces
become single characters and overlapping pairs of them, so a word is found inside an unspaced sentence without a
dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from typing import Any
from zlib import crc32

import snowballstemmer

#: Thai, Lao, Burmese, Khmer, kana, Chinese characters with their extensions, hangul.
UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_LETTER = rf"(?:(?![{UNSPACED}])[^\W_])"
_RUN = re.compile(rf"([{UNSPACED}]+)|({_LETTER}+(?:['’]{_LETTER}+)*)")
_ACCENTS = re.compile("[\u0300-\u036f]")
_LONGEST = 64  # what is longer is no word; its beginning stands for it
NUMBERS = 1_000_000_000  # so many places a sparse vector has
#: English words that say little by themselves; two texts that differ in these alone are alike.
SMALL_WORDS = frozenset(("a", "an", "and", "are", "at", "be", "in", "is", "it", "of", "on", "the", "to", "was", "were"))


def counted(text: str) -> Counter[str]:
    """Return the terms of `text` with how often each stands in it."""
    return Counter(terms(text))


def terms(text: str) -> Iterator[str]:
    """Return the terms of `text` in order."""
    for match in _RUN.finditer(fold(text)):
        if unspaced := match[1]:
            yield from unspaced
            yield from (unspaced[at : at + 2] for at in range(len(unspaced) - 1))
        else:
            yield stem(match[2][:_LONGEST])


def located(text: str, wanted: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """Yield those terms of `text` that are wanted, with where each begins and ends in it."""
    beginnings = {term[:2] for term in wanted}  # a stem begins as its word does; to stem every word would take long
    for match in _RUN.finditer(text):
        start, end = match.span()
        if match[1]:
            pairs = ((fold(text[at : at + 2]), at, at + 2) for at in range(start, end - 1))
            singles = ((fold(text[at]), at, at + 1) for at in range(start, end))
            yield from (each for each in (*singles, *pairs) if each[0] in wanted)
        elif (folded := fold(match[2])[:_LONGEST])[:2] in beginnings and (term := stem(folded)) in wanted:
            yield term, start, end


def fold(text: str) -> str:
    """Return `text` in one width, in lower case, without accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", plain)))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return what the forms of an English word share; other words are seldom changed."""
    word = word.replace("’", "'").removesuffix("'s").replace("'", "")
    return str(_stemmer().stemWord(word))


def number(term: str) -> int:
    """Return the term's place in a sparse vector, from 1. Two terms share one about once in a thousand million pairs."""
    return crc32(term.encode()) % NUMBERS + 1


def gist(text: str) -> str:
    """Return what is left of `text` when case, punctuation, endings and small words don't count."""
    return " ".join(term for term in terms(text) if term not in SMALL_WORDS)


@cache
def _stemmer() -> Any:
    return snowballstemmer.stemmer("english")
