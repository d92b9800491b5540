"""How quickly vectors follow what was written, beside what the model does by itself in the same minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from memory.bench.chats import make_chat
from memory.embedding import filling
from memory.embedding.ports import port
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.bench import Figure

_ROUNDS = 4


def measure(model: str) -> Iterator[Figure]:
    """Let the embedder and the model take turns over texts of the same kind, batch by batch."""
    texts = [" ".join(make_chat(seed, exchanges=6).turns) for seed in range(2 * _ROUNDS * filling.BATCH)]
    followed, alone = texts[::2], texts[1::2]
    for at, text in enumerate(followed):
        remember(owner=Owner(board="following"), tier="episodic", text=text, origin=Origin(), source_key=f"text-{at}")
    port(model).passages(texts[:2])
    by_model = by_embedder = made = 0.0
    for turn in range(_ROUNDS):
        batch = alone[turn * filling.BATCH : (turn + 1) * filling.BATCH]
        by_model += _seconds(lambda: port(model).passages(batch))  # noqa: B023  called at once
        by_embedder += _seconds(filling.fill_batch)
        made += filling.BATCH
    yield Figure(
        name="vectors that follow", value=made / by_embedder, unit="passages/s", floor=made / by_model,
        floor_name=f"{model} alone", bar=0.8, more_is_better=True,
    )  # fmt: skip


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
