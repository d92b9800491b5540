"""Each index is there for a query, and that query uses it where there are a hundred thousand passages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from memory import forgetting, keeping, passages, writing
from memory.embedding import filling, moving, ports, queue
from memory.embedding.ports import Vector, unit
from memory.models import EmbeddingModel, Memory, Passage, Shelf
from memory.owners import Owner
from memory.search import Filters
from memory.search.finding import search_shelves
from memory.search.statement import EXACT_PASSAGES
from memory.writing import Origin, remember
from openintern.tenancy.people import create_organization
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast, Person, admit

pytestmark = pytest.mark.slow

PASSAGES, EACH, OWNERS = 100_000, 10, 600
DIMENSIONS = 8


class Small:
    """A model of few dimensions: it isn't what takes the time here."""

    def query(self, text: str) -> Vector:
        return unit(np.linspace(1, len(text), DIMENSIONS, dtype=np.float32))

    def passages(self, texts: list[str]) -> list[Vector]:
        return [self.query(text) for text in texts]


@pytest.fixture(scope="module")
def ada(cast: Cast, django_db_blocker: Any) -> Iterator[Person]:
    """Somebody who remembers much: 600 passages as core, the others as archival."""
    with django_db_blocker.unblock():
        org = create_organization("plenty")
        ada = admit("ada", org, cast.alice.role)
        ports.provide("small", Small())
        with org_scope(org):
            _fill(ada)
            yield ada
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE memory_shelf, memory_embeddingmodel CASCADE")


def _fill(ada: Person) -> None:
    EmbeddingModel.objects.create(name="small", state=EmbeddingModel.State.SERVING, dimensions=DIMENSIONS)
    Shelf.objects.create(user=ada.user, tier="core", passages=OWNERS, words=OWNERS * 4)
    Shelf.objects.create(user=ada.user, tier="archival", passages=PASSAGES - OWNERS, words=4 * (PASSAGES - OWNERS))
    with connection.cursor() as cursor:
        for statement in _ROWS.split(";"):
            cursor.execute(statement, {"passages": PASSAGES, "each": EACH, "owners": OWNERS, "dimensions": DIMENSIONS})
    moving.index_if_large(EmbeddingModel.objects.get())
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


_ROWS = """
    CREATE TEMPORARY TABLE made AS
    SELECT n, (n - 1) / %(each)s AS memory,
           (SELECT id FROM memory_shelf WHERE (tier = 'core') = (n <= %(owners)s)) AS shelf_id
    FROM generate_series(1, %(passages)s) AS n;

    INSERT INTO memory_memory (id, shelf_id, text, metadata, importance, trust, contains_secrets, likeness, run_id, document,
                               source_type, source_key, thread, created_at, updated_at, forgotten_at, forgotten_with)
    SELECT md5('memory ' || memory)::uuid, min(shelf_id), 'text of ' || memory, '{}', 0.5, 'stated', false,
           md5('gist ' || memory)::uuid, CASE WHEN memory %% 3 = 0 THEN 'run_' || memory / 30 ELSE '' END,
           CASE WHEN memory %% 3 = 1 THEN 'document ' || memory / 30 ELSE '' END, 'made',
           'key-' || memory, CASE WHEN memory %% 2 = 0 THEN 'talk-' || memory / 40 ELSE '' END,
           now() - memory * interval '1 minute', now(), CASE WHEN memory %% 100 = 99 THEN now() END,
           CASE WHEN memory %% 100 = 99 THEN md5('forgetting ' || memory / 1000)::uuid END
    FROM made GROUP BY memory;

    INSERT INTO memory_passage (id, memory_id, ordinal, text, start, "end", heading, page, previous_id)
    SELECT n, md5('memory ' || memory)::uuid, (n - 1) %% %(each)s, 'passage ' || n, 0, 10, '', NULL,
           CASE WHEN (n - 1) %% %(each)s > 0 THEN n - 1 END FROM made;

    SELECT setval(pg_get_serial_sequence('memory_passage', 'id'), %(passages)s);

    INSERT INTO memory_words (passage_id, shelf_id, length, terms)
    SELECT n, shelf_id, 4, format('{%%s:1,%%s:1,%%s:1,%%s:1}/1000000000', 1 + n %% 7, 10 + n %% 900, 1000 + n %% 9000, 20000 + n %% 50000)::sparsevec
    FROM made;

    INSERT INTO memory_term (term, shelf_id, passages)
    SELECT term, shelf_id, count(*) FROM made,
         unnest(ARRAY[1 + n %% 7, 10 + n %% 900, 1000 + n %% 9000, 20000 + n %% 50000]) AS term GROUP BY term, shelf_id;

    INSERT INTO memory_embedding (passage_id, model_id, shelf_id, digest, vector, attempts, available_at, error)
    SELECT n, (SELECT id FROM memory_embeddingmodel), shelf_id, md5('passage ' || n)::uuid,
           CASE WHEN n %% 50 > 0 THEN l2_normalize((SELECT array_agg(random() + 0 * g) FROM generate_series(1, %(dimensions)s) AS g WHERE n > 0)::real[]::vector::halfvec) END,
           0, now(), '' FROM made;

    DROP TABLE made
"""


def plans(act: Callable[[], object]) -> list[dict[str, Any]]:
    """Let `act` ask the database; return the nodes of the plans of all that it asked."""
    with CaptureQueriesContext(connection) as captured:
        act()
    nodes: list[dict[str, Any]] = []
    for query in captured:
        if query["sql"].lstrip().split()[0].upper() in {"SELECT", "UPDATE", "DELETE", "WITH", "INSERT"}:
            nodes += _nodes(query["sql"])
    return nodes


def _nodes(statement: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + statement.replace("%", "%%"), [])
        found = cursor.fetchone()[0]
    plan = json.loads(found) if isinstance(found, str) else found
    return list(_below(plan[0]["Plan"]))


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _below(child)


def indexes(nodes: list[dict[str, Any]]) -> set[str]:
    """The names of the indexes that are used."""
    return {node["Index Name"] for node in nodes if "Index Name" in node}


def read_whole(nodes: list[dict[str, Any]]) -> set[str]:
    """The tables of passages that are read from end to end."""
    scans = {node["Relation Name"] for node in nodes if node["Node Type"].endswith("Seq Scan")}
    return scans & {"memory_passage", "memory_words", "memory_embedding", "memory_term"}


def a_memory(ada: Person) -> Memory:
    return Memory.objects.select_related("shelf").current().filter(shelf__tier="core", run_id="")[0]


def search_hers(ada: Person) -> object:
    return search_shelves(Shelf.objects.filter(user=ada.user, tier="core"), "passage 17")


def search_hers_within_a_run(ada: Person) -> object:
    return search_shelves(
        Shelf.objects.filter(user=ada.user, tier="core"), "passage 17", filters=Filters(run_id="run_1")
    )


def embed_a_batch(ada: Person) -> object:
    return queue.claim(EmbeddingModel.objects.get(), limit=16)


def look_for_work(ada: Person) -> object:
    return filling.organizations_with_work()


def write_one(ada: Person) -> object:
    return remember(owner=Owner.of_user(ada.user), tier="archival", text="A new one", origin=Origin())


def write_a_turn(ada: Person) -> object:
    origin = Origin(thread="talk-99")
    return remember(owner=Owner.of_user(ada.user), tier="archival", text="A new turn", origin=origin)


def write_one_of_a_source(ada: Person) -> object:
    return remember(
        owner=Owner.of_user(ada.user), tier="core", text="Another", origin=Origin(run_id="run_1"), source_key="key-1"
    )


def read_a_page(ada: Person) -> object:
    return list(keeping.memories(ada.scope, keeping.Wanted(tier="archival"))[:20])


def forget_a_run(ada: Person) -> object:
    return forgetting.forget_from(run_id="run_7", at=timezone.now())


def forget_a_document(ada: Person) -> object:
    return forgetting.forget_from(document="document 7", at=timezone.now())


def forget_an_author(ada: Person) -> object:
    return forgetting.forget_from(author=ada.user, at=timezone.now())


def purge(ada: Person) -> object:
    return forgetting.purge(at=timezone.now() - timedelta(days=1))


def correct(ada: Person) -> object:
    return writing.update(a_memory(ada), text="Corrected")


def supersede(ada: Person) -> object:
    return writing.supersede(a_memory(ada), text="In its place", origin=Origin())


USES: list[tuple[Callable[[Person], object], set[str]]] = [
    (
        search_hers,
        {
            "memory_words_of_shelf",
            "memory_embedding_of_shelf",
            "memory_embedding_lacking",
            "memory_term_pkey",
            "memory_words_pkey",
            "memory_passage_pkey",
            "memory_passage_previous_id_4cadf1fa",
            "memory_embedding_once",
            "memory_memory_pkey",
        },
    ),
    (search_hers_within_a_run, {"memory_memory_of_run", "memory_passage_order"}),
    (embed_a_batch, {"memory_embedding_missing", "memory_embedding_pkey", "memory_passage_pkey"}),
    (look_for_work, {"memory_embedding_missing"}),
    (write_one, {"memory_memory_likeness", "memory_embedding_known"}),
    (write_a_turn, {"memory_memory_thread"}),
    (write_one_of_a_source, {"memory_memory_source", "memory_memory_of_run"}),
    (read_a_page, {"memory_memory_newest"}),
    (forget_a_run, {"memory_memory_of_run"}),
    (forget_a_document, {"memory_memory_of_document"}),
    (purge, {"memory_memory_forgotten"}),
    (correct, {"memory_passage_order"}),
    (supersede, {"memory_passage_order"}),
]


@pytest.mark.parametrize(("act", "expected"), USES, ids=[act.__name__ for act, _ in USES])
def test_a_query_uses_the_index_that_is_there_for_it(
    act: Callable[[Person], object], expected: set[str], ada: Person, django_db_blocker: Any
) -> None:
    with django_db_blocker.unblock(), org_scope(ada.org):
        nodes = plans(lambda: act(ada))

    assert expected - indexes(nodes) == set()
    assert act is look_for_work or read_whole(nodes) == set()  # that one looks into small organisations, too


def test_a_search_of_everything_asks_the_vector_index_and_reads_the_words_by_all_cores(
    ada: Person, django_db_blocker: Any
) -> None:
    with django_db_blocker.unblock(), org_scope(ada.org):
        model = EmbeddingModel.objects.get()
        assert PASSAGES > EXACT_PASSAGES
        assert model.is_indexed
        nodes = plans(lambda: search_shelves(Shelf.objects.all(), "passage 17"))

    assert f"memory_embedding_hnsw_{model.pk}" in indexes(nodes)


def test_no_index_is_there_that_no_query_needs(ada: Person, django_db_blocker: Any) -> None:
    used = set.union(*(expected for _, expected in USES))
    with django_db_blocker.unblock(), org_scope(ada.org), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT indexrelid::regclass::text, indisunique FROM pg_index
            WHERE indrelid IN ('memory_memory'::regclass, 'memory_passage'::regclass, 'memory_words'::regclass,
                               'memory_embedding'::regclass, 'memory_term'::regclass)
            """
        )
        there = {name.split(".")[-1].strip('"') for name, is_unique in cursor.fetchall() if not is_unique}

    hnsw = {name for name in there if "hnsw" in name}
    # what a removal of the row that they point at would have to look for
    keep_references = {name for name in there if "supersedes" in name or "author" in name}
    assert there - hnsw - keep_references - used == set()


def test_passages_know_what_was_written(ada: Person, django_db_blocker: Any) -> None:
    """What the other tests rest on: it is all there, and it is found."""
    with django_db_blocker.unblock(), org_scope(ada.org):
        assert Passage.objects.count() >= PASSAGES - 20  # what was replaced
        assert len(search_shelves(Shelf.objects.filter(user=ada.user, tier="core"), "passage 17").hits) == 10
        assert passages.last_of_thread(Memory(shelf=Shelf.objects.get(tier="archival"), thread="talk-99")) is not None
