"""The one statement of a search.

    size ─┬─ weighed ── by_words ──┬─ pool ── scored ── shares ── fused ── again ── lifted ── best ── rows
          └─────────── by_vector ──┘

The shelves in scope come as literals, with how much is on each: the planner then knows whether it is little or much.
Both arms look at these shelves and at nothing else. Together with the neighbours of what they find they make the
pool, in which every passage gets both scores, so that neither arm's ignorance counts as a zero. A share is a score
normalised to 0…1 within the pool.

- `weighed`: the query's terms with BM25's inverse document frequency over the scope. The rarest count; a long text
  brings no more than MOST_TERMS.
- `by_words`: one inner product for each passage: its saturated counts times those weights, damped by its length.
  That is BM25 but for where the length enters; the pool is then scored by BM25 itself.
- `by_vector`: exactly, up to EXACT_PASSAGES in scope; above that by the HNSW index, which is asked until it has enough.
- `again`: the passages that came out best speak for the query once more (relevance feedback): their vectors are added
  to its vector for the pool's second look.
- `lifted`: a hit lifts what was said just before and after it in the same conversation. Passages of one memory don't lift
  each other: that would favour whatever is long enough to have several (abstracts lose 2 points by it).
"""

from __future__ import annotations

from dataclasses import dataclass

from memory.index import K1
from memory.search import weights
from memory.terms import NUMBERS

#: Passages in scope up to which every vector is compared; an index gains nothing below.
EXACT_PASSAGES = 30_000
#: Passages that each arm brings to the pool at first; where they are of fewer memories than asked for, it brings more.
PER_ARM = 60
#: Terms of a query that are looked at, the rarest first.
MOST_TERMS = 64
#: Passages shown of one memory.
QUOTES = 3


@dataclass(frozen=True)
class VectorArm:
    """With which model's vectors to compare, and whether that model has an HNSW index."""

    model_id: int
    dimensions: int
    is_indexed: bool


def compose(*, only: str, vector: VectorArm | None, is_large: bool) -> str:
    """Return the statement. `only` is a condition on `passage_id`, `is_large` whether a scope is beyond EXACT_PASSAGES.

    It is all our own SQL; whatever somebody typed is a parameter.
    """
    by_vector, similarity = _WITHOUT_VECTORS
    if vector:
        by_vector, similarity = vector_arm(vector, only, is_large=is_large), _similarity(vector)
    return _STATEMENT.format(
        scope=SCOPE,
        only=only,
        # an expression no index knows: so much is read faster in the table's order, by all cores
        by_words=_WORDS.format(
            shelf="(words.shelf_id + 0)" if is_large else "words.shelf_id", only=only, b=weights.ARM_B
        ),
        by_vector=by_vector,
        similarity=similarity,
        missing=_missing(vector) if vector else "0",
        most_terms=MOST_TERMS,
        quotes=QUOTES,
        numbers=NUMBERS,
        k1=K1,
        b=weights.B,
        feedback=weights.FEEDBACK,
        feedback_length=weights.FEEDBACK_LENGTH,
        feedback_passages=weights.FEEDBACK_PASSAGES,
        neighbour=weights.NEIGHBOUR,
        importance=weights.IMPORTANCE,
        recency=weights.RECENCY,
        half_life=weights.HALF_LIFE_DAYS,
        vector_share="%(vector_share)s::float8",
    )


def vector_arm(arm: VectorArm, only: str, *, is_large: bool) -> str:
    """Return the query of the arm by itself: what is nearest, in any order."""
    if is_large and arm.is_indexed:
        return _INDEXED.format(model=arm.model_id, dimensions=arm.dimensions, only=only)
    return _EXACT.format(model=arm.model_id, only=only)


def _similarity(arm: VectorArm) -> str:
    return f"""(SELECT embedding.vector FROM memory_embedding AS embedding
        WHERE embedding.passage_id = words.passage_id AND embedding.model_id = {arm.model_id})"""  # noqa: S608  a number


def _missing(arm: VectorArm) -> str:
    return f"""(SELECT count(*) FROM memory_embedding AS embedding
        WHERE embedding.model_id = {arm.model_id} AND embedding.vector IS NULL AND {_IN_SCOPE.format("embedding")})"""  # noqa: S608


_IN_SCOPE = "{}.shelf_id = ANY (%(shelves)s::bigint[])"
_WITHOUT_VECTORS = ("SELECT NULL::bigint AS passage_id LIMIT 0", "NULL::halfvec")

_EXACT = """
    SELECT embedding.passage_id FROM memory_embedding AS embedding
    WHERE embedding.model_id = {model} AND embedding.vector IS NOT NULL
      AND embedding.shelf_id = ANY (%(shelves)s::bigint[]) AND embedding.{only}
    ORDER BY embedding.vector <#> %(vector)s::halfvec LIMIT %(per_arm)s"""

_INDEXED = """
    SELECT embedding.passage_id FROM memory_embedding AS embedding
    WHERE embedding.model_id = {model} AND embedding.vector IS NOT NULL
      AND embedding.shelf_id = ANY (%(shelves)s::bigint[]) AND embedding.{only}
    ORDER BY embedding.vector::halfvec({dimensions}) <#> %(vector)s::halfvec({dimensions}) LIMIT %(per_arm)s"""

_WORDS = """
    SELECT words.passage_id FROM memory_words AS words
    WHERE {shelf} = ANY (%(shelves)s::bigint[]) AND words.{only}
    ORDER BY (words.terms <#> (SELECT terms FROM query))
             / ({b} * words.length / (SELECT mean_length FROM size) + (1 - {b})) LIMIT %(per_arm)s"""

SCOPE = """size AS MATERIALIZED (
    SELECT %(passages)s::float8 AS passages, %(mean_length)s::float8 AS mean_length
)"""

_STATEMENT = """
WITH {scope},
weighed AS MATERIALIZED (
    SELECT asked.term, asked.times * ln(1 + (size.passages - known.passages + 0.5) / (known.passages + 0.5)) AS weight,
           format('{{%%s:1}}/{numbers}', asked.term)::sparsevec AS alone
    FROM size, unnest(%(terms)s::int[], %(times)s::float8[]) AS asked (term, times)
    CROSS JOIN LATERAL (
        SELECT sum(memory_term.passages)::float8 AS passages FROM memory_term
        WHERE memory_term.term = asked.term AND memory_term.shelf_id = ANY (%(shelves)s::bigint[])
    ) AS known
    WHERE known.passages > 0
    ORDER BY weight DESC LIMIT {most_terms}
),
query AS MATERIALIZED (
    SELECT ('{{' || coalesce(string_agg(term || ':' || weight, ',' ORDER BY term), '') || '}}/{numbers}')::sparsevec AS terms
    FROM weighed
),
by_words AS MATERIALIZED ({by_words}),
by_vector AS MATERIALIZED ({by_vector}),
found AS MATERIALIZED (SELECT passage_id FROM by_words UNION SELECT passage_id FROM by_vector),
pool AS MATERIALIZED (
    SELECT passage_id FROM found
    UNION SELECT passage.previous_id FROM found JOIN memory_passage AS passage ON passage.id = found.passage_id
    UNION SELECT passage.id FROM found JOIN memory_passage AS passage ON passage.previous_id = found.passage_id
),
scored AS MATERIALIZED (
    SELECT words.passage_id, passage.memory_id, passage.previous_id, {similarity} AS vector,
           coalesce((
               SELECT sum(weighed.weight * ({k1} + 1) * times.tf
                          / (times.tf + {k1} * (1 - {b} + {b} * words.length / size.mean_length)))
               FROM weighed, LATERAL (SELECT -(words.terms <#> weighed.alone) AS saturated) AS seen,
                    LATERAL (SELECT seen.saturated * {k1} / ({k1} + 1 - seen.saturated) AS tf) AS times
               WHERE seen.saturated > 0
           ), 0) AS words
    FROM size, pool
    CROSS JOIN LATERAL (  -- OFFSET keeps it a look-up for each; a join would read all the words in scope once more
        SELECT * FROM memory_words AS words
        WHERE words.passage_id = pool.passage_id AND words.shelf_id = ANY (%(shelves)s::bigint[]) OFFSET 0
    ) AS words
    JOIN memory_passage AS passage ON passage.id = words.passage_id
    WHERE words.{only}
),
compared AS MATERIALIZED (
    SELECT *, -(vector <#> %(vector)s::halfvec) AS similarity FROM scored
),
shares AS MATERIALIZED (
    SELECT *, coalesce(words / nullif(max(words) OVER (), 0), 0) AS words_share,
           (similarity - min(similarity) OVER ()) / nullif(max(similarity) OVER () - min(similarity) OVER (), 0)
               AS vector_share
    FROM compared
),
fused AS MATERIALIZED (
    SELECT *, {vector_share} * coalesce(vector_share, words_share) + (1 - {vector_share}) * words_share AS first_look
    FROM shares
),
best_first AS MATERIALIZED (
    SELECT vector FROM fused WHERE vector IS NOT NULL ORDER BY first_look DESC, passage_id LIMIT {feedback_passages}
),
again AS MATERIALIZED (
    SELECT fused.*, similarity + {feedback} * greatest(0, (mean_length - {feedback_length}) / (mean_length + {feedback_length}))
               * (SELECT avg(-(fused.vector <#> best_first.vector)) FROM best_first) AS nearness
    FROM fused, size
),
weighted AS MATERIALIZED (
    SELECT *, (1 - {vector_share}) * words_share AS words_part,
           {vector_share} * coalesce((nearness - min(nearness) OVER ())
               / nullif(max(nearness) OVER () - min(nearness) OVER (), 0), words_share) AS vector_part
    FROM again
),
followed AS MATERIALIZED (
    SELECT own.passage_id, max(later.words_part + later.vector_part) AS score
    FROM weighted AS later JOIN weighted AS own ON own.passage_id = later.previous_id AND own.memory_id <> later.memory_id
    GROUP BY own.passage_id
),
lifted AS MATERIALIZED (
    SELECT own.*, {neighbour} * greatest(
        coalesce(before.words_part + before.vector_part, 0), coalesce(followed.score, 0)) AS lift
    FROM weighted AS own
    LEFT JOIN weighted AS before ON before.passage_id = own.previous_id AND before.memory_id <> own.memory_id
    LEFT JOIN followed ON followed.passage_id = own.passage_id
),
ranked AS MATERIALIZED (
    SELECT lifted.*, words_part + vector_part + lift AS total,
           row_number() OVER (PARTITION BY memory_id ORDER BY words_part + vector_part + lift DESC, passage_id) AS place
    FROM lifted
),
best AS MATERIALIZED (
    SELECT memory.id, memory.shelf_id, memory.text, memory.metadata, memory.importance, memory.trust,
           memory.source_type, memory.document, memory.run_id, memory.event_seq, memory.created_at,
           prior.prior, ranked.total * prior.prior AS score,
           ranked.words, ranked.similarity, ranked.words_part, ranked.vector_part, ranked.lift, ranked.passage_id
    FROM ranked
    JOIN memory_memory AS memory ON memory.id = ranked.memory_id
    CROSS JOIN LATERAL (
        SELECT 1 + {importance} * (memory.importance - 0.5)
                 + {recency} * exp(-ln(2) * greatest(extract(epoch FROM now() - memory.created_at)::float8, 0)
                                   / 86400 / {half_life}) AS prior
    ) AS prior
    WHERE ranked.place = 1 AND memory.forgotten_at IS NULL AND memory.superseded_at IS NULL
    ORDER BY score DESC, memory.id LIMIT %(limit)s
)
SELECT best.id, left(best.text, %(text_limit)s) AS text, best.metadata, best.importance, best.trust, best.source_type,
       best.document, best.run_id, best.event_seq, best.created_at, best.prior, best.score, best.words, best.similarity,
       best.words_part, best.vector_part, best.lift, best.passage_id, shelf.tier,
       CASE WHEN shelf.user_id IS NOT NULL THEN 'user' WHEN shelf.project_id IS NOT NULL THEN 'project'
            WHEN shelf.board <> '' THEN 'board' ELSE 'agent' END AS owner,
       quotes.quotes, NULL::bigint AS missing, NULL::float8 AS searched,
       NULL::bigint AS brought
FROM best
JOIN memory_shelf AS shelf ON shelf.id = best.shelf_id
CROSS JOIN LATERAL (
    SELECT json_agg(json_build_object(
        'passage_id', passage.id, 'text', passage.text, 'start', passage.start, 'end', passage."end",
        'heading', passage.heading, 'page', passage.page, 'anchor', passage.anchor, 'score', ranked.total) ORDER BY ranked.place) AS quotes
    FROM ranked JOIN memory_passage AS passage ON passage.id = ranked.passage_id
    WHERE ranked.memory_id = best.id AND ranked.place <= {quotes}
) AS quotes
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       NULL, NULL, {missing}, (SELECT passages FROM size), (SELECT count(*) FROM by_words)
ORDER BY score DESC NULLS LAST, id
"""
