"""Which memories say the same, by their words alone; and one text that says what all of them say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import ceil

from memory import terms
from memory.chunking.pieces import sentences

#: The share of their words that two texts have in common at least (Jaccard) to say the same.
ALIKE = 0.8
#: Words that turn a sentence around. Texts that differ in these, or in anything with a digit, don't say the same.
_TURNING = frozenset(
    [
        "not",
        "no",
        "never",
        "without",
        "nobody",
        "none",
        "dont",
        "doesnt",
        "isnt",
        "arent",
        "cant",
        "wont",
        "didnt",
        "不",
        "没",
        "无",
        "非",
        "未",
        "别",
        "勿",
        "莫",
    ]
)

Bag = frozenset[str]


def bag(text: str) -> Bag:
    """Return the words that count in a text."""
    every = set(terms.terms(text))
    return frozenset(every - terms.SMALL_WORDS) or frozenset(every)


def likeness(first: Bag, second: Bag) -> float:
    """Return the share of words in common, from 0 to 1."""
    return len(first & second) / len(first | second) if first or second else 0.0


def groups(bags: Sequence[Bag]) -> list[list[int]]:
    """Return groups of places whose texts say the same, the leader first; each place is in one group at most.

    Every member says the same as its leader, so that no chain leads from one thing to another. The earlier in `bags`,
    the sooner a leader.
    """
    near: dict[int, list[int]] = defaultdict(list)
    for first, second in pairs(bags):
        near[first].append(second)
        near[second].append(first)
    taken: set[int] = set()
    found = []
    for leader in range(len(bags)):
        members = [place for place in sorted(near[leader]) if place not in taken] if leader not in taken else []
        if members:
            found.append([leader, *members])
            taken.update(found[-1])
    return found


def pairs(bags: Sequence[Bag]) -> Iterator[tuple[int, int]]:
    """Yield each pair of places whose texts say the same, once.

    Two sets that have so much in common share one of their rarest words: only those are looked up (prefix filtering).
    """
    frequency = Counter(word for each in bags for word in each)
    seen: dict[str, list[int]] = defaultdict(list)
    for place, words in enumerate(bags):
        rarest = sorted(words, key=lambda word: (frequency[word], word))
        prefix = rarest[: len(words) - ceil(ALIKE * len(words)) + 1]
        for other in sorted({other for word in prefix for other in seen[word]}):
            if _say_the_same(bags[other], words):
                yield other, place
        for word in prefix:
            seen[word].append(place)


def merged(texts: Sequence[str]) -> str:
    """Return the first text, and behind it each sentence of the others that says something it doesn't."""
    said = [bag(sentence) for sentence in sentences(texts[0])]
    added = []
    for sentence in (each for text in texts[1:] for each in sentences(text)):
        words = bag(sentence)
        if not any(words <= known or _say_the_same(words, known) for known in said):
            said.append(words)
            added.append(sentence)
    return "\n".join([texts[0].rstrip(), *added])


def _say_the_same(first: Bag, second: Bag) -> bool:
    return likeness(first, second) >= ALIKE and not any(_decides(word) for word in first ^ second)


def _decides(word: str) -> bool:
    return word in _TURNING or any(character.isdigit() for character in word)
