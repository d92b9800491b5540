"""Memory that finds it again: what an organisation's agents and people have learned, and the search in it.

What other rooms call (everything inside `org_scope`):

- `owners.Owner`: whose memory it is: `Owner(user_id=…)`, `Owner(project_id=…)`, `Owner(board="…")`, `Owner(agent="…")`.
- `writing.remember(owner=…, tier=…, text=…, origin=Origin(…), pieces=…) -> Memory`: one transaction with its passages;
  found by its words when it returns. With a `source_key` it replaces what the owner had under that key.
  `writing.update`, `writing.supersede`: the later lives of a memory.
- `forgetting.forget(…)`, `forget_from(run_id=… | document=… | author=… | source_key=…)`, `restore`, `purge`.
- `search.search(scope, "query", limit=…, tiers=…, board=…, agent=…, explain=…) -> Answer` with `hits` and
  `missing_vectors`; `search.find_memory(scope, id)`; `search.recall(scope, "query", limit=…)`: tiers with budgets, for a run.
- `models.Memory.objects.for_scope(scope)`: what a scope may see, for lists and pages.

The design, and what was measured for it, is in `docs/adr/0007-memory-search.md`.
"""
