"""Moving an organisation to another model, while the old one serves; and the index for those with many passages."""

from __future__ import annotations

from django.db import connection, transaction
from django.db.models import Sum
from psycopg import sql

from memory.embedding import queue
from memory.embedding.serving import FILLING, SERVING, serving_model
from memory.index import EMBED
from memory.models import Embedding, EmbeddingModel, Shelf
from memory.search.statement import EXACT_PASSAGES


@transaction.atomic
def begin_move(name: str) -> EmbeddingModel:
    """Let the organisation move to the model `name`; return it. The embedder does the work and the change-over.

    A move to another model that was under way is given up. Where that model serves already, what had failed is tried again.
    """
    serving = serving_model()
    EmbeddingModel.objects.filter(state=FILLING).exclude(name=name).delete()
    if serving.name == name:
        queue.try_again(serving)
        model = serving
    else:
        model, _ = EmbeddingModel.objects.get_or_create(name=name, defaults={"state": FILLING})
        queue.try_again(model)
    _ask_for_all(model)
    return model


def take_over_if_complete(model: EmbeddingModel) -> bool:
    """Let a filled model serve, and remove the old one's vectors; return whether it took over."""
    if model.state != FILLING or queue.progress(model).missing:
        return False
    with transaction.atomic():
        locked = {each.state: each for each in EmbeddingModel.objects.select_for_update().order_by("pk")}
        if locked.get(FILLING) != model or _ask_for_all(model):
            return False  # a write that began before the move brought passages that it knew nothing of
        old = locked.get(SERVING)
        if old is not None:
            _drop_index(old)
            Embedding.objects.filter(model=old).delete()
            old.delete()
        EmbeddingModel.objects.filter(pk=model.pk).update(state=SERVING)
    return True


def index_if_large(model: EmbeddingModel) -> None:
    """Build the model's HNSW index once comparing every vector would take too long; searches go on meanwhile."""
    if model.is_indexed or model.dimensions is None:
        return
    if (Shelf.objects.aggregate(total=Sum("passages"))["total"] or 0) <= EXACT_PASSAGES:
        return
    build_index(model)


def build_index(model: EmbeddingModel) -> None:
    """Build the HNSW index of one model's vectors. Not inside a transaction; what a crash left behind is replaced."""
    _drop_index(model)
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '256MB'")
        cursor.execute(
            sql.SQL(
                "CREATE INDEX CONCURRENTLY {index} ON memory_embedding "
                "USING hnsw ((vector::halfvec({dimensions})) halfvec_ip_ops) WHERE model_id = {model}"
            ).format(
                index=sql.Identifier(_index_name(model)),
                dimensions=sql.Literal(model.dimensions),
                model=sql.Literal(model.pk),
            )
        )
        cursor.execute("RESET maintenance_work_mem")
    EmbeddingModel.objects.filter(pk=model.pk).update(is_indexed=True)
    model.is_indexed = True


def _index_name(model: EmbeddingModel) -> str:
    return f"memory_embedding_hnsw_{model.pk}"


def _drop_index(model: EmbeddingModel) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(_index_name(model))))


def _ask_for_all(model: EmbeddingModel) -> int:
    """Leave a row for each findable passage that has none of this model's; return how many that were."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO memory_embedding (passage_id, model_id, shelf_id, digest, attempts, error)
            SELECT words.passage_id, %(model)s, words.shelf_id, known.digest, 0, ''
            FROM memory_words AS words JOIN memory_passage AS passage ON passage.id = words.passage_id
            CROSS JOIN LATERAL (
                SELECT md5(CASE WHEN passage.heading = '' THEN passage.text
                           ELSE passage.heading || E'\\n' || passage.text END)::uuid AS digest
            ) AS known
            WHERE NOT EXISTS (SELECT FROM memory_embedding AS own
                              WHERE own.passage_id = words.passage_id AND own.model_id = %(model)s)
            ON CONFLICT DO NOTHING
            """,
            {"model": model.pk},
        )
        missing = int(cursor.rowcount)
        cursor.execute("SELECT pg_notify(%s, current_schema())", [EMBED])
        return missing
