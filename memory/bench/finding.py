"""Is it found? Recall of the search on whole sets, beside each arm alone and the first implementation's formula."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from uuid import UUID

from memory.bench.arms import BEST, ByVector, ByWords, FirstFormula
from memory.bench.sets import Collection
from memory.embedding import filling
from memory.embedding.ports import port
from memory.index import with_heading
from memory.models import Passage, Shelf
from memory.owners import Owner
from memory.search.finding import search_shelves
from memory.writing import Origin, remember
from openintern.bench import Figure

Find = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Shelved:
    """A collection in memory: on which board, and the number in the collection of each of its memories."""

    collection: Collection
    board: str
    numbers: dict[UUID, int]


def measure_set(name: str, collections: Sequence[Collection], *, model: str, bar: float | None) -> Iterator[Figure]:
    """Remember the collections and ask all their questions, in every way there is."""
    shelved = [shelve(collection, board=f"{name}-{at}") for at, collection in enumerate(collections)]
    while filling.fill_batch(limit=64):
        pass
    alone = {
        f"{name}: words alone (BM25)": _recall((each, _by_words(each)) for each in shelved),
        f"{name}: vectors alone ({model})": _recall((each, _by_vector(each, model)) for each in shelved),
    }
    first = _recall((each, FirstFormula(each.collection.texts).best) for each in shelved)
    asked = sum(len(collection.questions) for collection in collections)
    found = _recall((each, _searched(each)) for each in shelved)
    line = max([*alone.values(), bar or 0.0])
    yield _figure(f"{name}: recall@{BEST}", found, bar=line, note=f"{asked} questions, {model}")
    for told, value in alone.items():
        yield _figure(told, value)
    yield _figure(f"{name}: first implementation's formula", first)


def shelve(collection: Collection, *, board: str) -> Shelved:
    """Remember a collection on a board of its own; texts without a word are left out."""
    numbers: dict[UUID, int] = {}
    for number, text in enumerate(collection.texts):
        if not text.strip():
            continue
        thread = board if collection.is_conversation else ""
        origin, key = Origin(thread=thread), f"{board}/{number}"
        memory = remember(owner=Owner(board=board), tier="archival", text=text, origin=origin, source_key=key)
        numbers[memory.pk] = number
    return Shelved(collection, board, numbers)


def _searched(shelved: Shelved) -> Find:
    shelves = Shelf.objects.filter(board=shelved.board)
    return lambda query: [shelved.numbers[hit.id] for hit in search_shelves(shelves, query, limit=BEST).hits]


def _by_words(shelved: Shelved) -> Find:
    texts, numbers = _passages(shelved)
    return ByWords(texts, numbers).best


def _by_vector(shelved: Shelved, model: str) -> Find:
    texts, numbers = _passages(shelved)
    arm = ByVector(port(model).passages(texts), numbers)
    return lambda query: arm.best(port(model).query(query))


def _passages(shelved: Shelved) -> tuple[list[str], list[int]]:
    """The texts that are searched, and to which text of the collection each belongs."""
    rows = list(Passage.objects.filter(memory__shelf__board=shelved.board).order_by("pk"))
    return [with_heading(row) for row in rows], [shelved.numbers[row.memory_id] for row in rows]


def _recall(ways: Iterable[tuple[Shelved, Find]]) -> float:
    """The share of what answers a question that is among the first BEST, on average over all questions."""
    shares = []
    for shelved, find in ways:
        for query, answers in shelved.collection.questions:
            shares.append(len(answers.intersection(find(query))) / len(answers))
    return mean(shares)


def _figure(name: str, value: float, *, bar: float | None = None, note: str = "") -> Figure:
    return Figure(name=name, value=value, unit="", bar=bar, more_is_better=True, note=note)
