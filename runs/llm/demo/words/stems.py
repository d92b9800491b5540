"""English words without their endings, and patterns for the words that share a stem."""

from __future__ import annotations

import re
from functools import lru_cache

from runs.llm.demo.words.vocabulary import IRREGULAR

REMEMBERED = 8192  # words whose stems are kept; what people type has no end


@lru_cache(maxsize=REMEMBERED)
def stem(word: str) -> str:
    """A light English stem, in British spelling: what "cancelled" and "cancellation" share."""
    word = _strip_ending(IRREGULAR.get(word, word))
    return re.sub("(?<=.{3}[iy])z$", "s", re.sub("^(licen|defen|offen)s", r"\1c", word))


def _strip_ending(word: str) -> str:
    if word.endswith(("ies", "ied")) and len(word) > 4:
        return word[:-3] + "y"
    for suffix, least in (("ations", 5), ("ation", 5), ("ions", 6), ("ion", 6), ("ings", 4), ("ing", 3), ("ed", 3)):
        base = word.removesuffix(suffix)
        if base != word and len(base) >= least and re.search("[aeiouy]", base) and base[-1] != "e":
            return _undouble(base)
    if re.search("(?:ov|ew)als?$", word):
        return re.sub("als?$", "", word)
    if re.search("(?:ss|x|ch|sh)es$", word):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 5 else _undouble(word)


def _undouble(base: str) -> str:
    """ "runn" to "run" and "cancell" to "cancel"; "kill" stays."""
    doubled = base[-2:-1] == base[-1:] and base[-1:] in ("bdglmnprt" if len(base) > 4 else "bdgmnprt")
    return base[:-1] if doubled and len(base) > 3 else base


@lru_cache(maxsize=REMEMBERED)
def english_form(word: str) -> str:
    """A pattern for a word's forms: by prefix when its stem is long, by known endings when short."""
    base = stem(word)
    regular = _regular_form(base)
    return "|".join([regular, *(rf"\b{other}\b" for other in _irregular(base) if not re.search(regular, other))])


@lru_cache(maxsize=REMEMBERED)
def _irregular(base: str) -> tuple[str, ...]:
    return tuple(word for word, of in IRREGULAR.items() if stem(of) == base and word != of)


def _regular_form(base: str) -> str:
    if len(base) <= 2 or base.isdigit():
        return rf"\b{re.escape(base)}\b"
    if base.endswith("y") and len(base) > 3:
        return rf"(?:\b|_){_either_spelling(base[:-1])}(?:y|i)\w*"
    if len(base) >= 5:
        edge = "" if len(base) >= 7 else r"(?:\b|_)"
        return rf"{edge}{_either_spelling(base)}\w*"
    root = base.removesuffix("e")
    doubled = f"{root[-1]}?" if re.search("[^aeiou][aeiou][bdglmnprt]$", root) else ""
    return rf"(?:\b|_){_either_spelling(root)}{doubled}(?:e?[dr]?s?|ings?|ly|al)(?:\b|_)"


def _either_spelling(base: str) -> str:
    """British and American: organis/organiz, licenc/licens, colour/color."""
    escaped = re.escape(base)
    escaped = re.sub(r"(?<=.{4}[iy])[sz]$", "[sz]", escaped) if re.search(r".{3}[iy][sz]$", base) else escaped
    escaped = re.sub(r"^(licen|defen|offen)[cs](e?)", r"\1[cs]\2", escaped)
    return re.sub(r"(?<=[lvb]o)u?r$", "u?r", escaped)
