"""Search in memories: one statement with two arms, and the tiers that a run recalls from.

`search.search(scope, "text")` for people and programs, `search.recall(scope, "text")` for a run, `search.find_memory`
for one memory by its id. All of it inside `org_scope`.
"""

from memory.search.finding import find_as_member, find_memory, search, search_as_member
from memory.search.hits import Answer, Explanation, Filters, Hit, Quote
from memory.search.recalling import Budget, recall

__all__ = [
    "Answer",
    "Budget",
    "Explanation",
    "Filters",
    "Hit",
    "Quote",
    "find_as_member",
    "find_memory",
    "recall",
    "search",
    "search_as_member",
]
