"""Any embedding model that litellm knows. Nothing else in memory imports litellm."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from django.conf import settings

from memory.embedding.ports import EmbeddingError, Vector, unit
from openintern.redaction import redact_text

_TIMEOUT_SECONDS = 30
_QUERY_TIMEOUT_SECONDS = 5  # somebody waits
_LONGEST = 20_000  # characters; providers refuse what is longer than their window


class LiteLLM:
    """A provider's model. No retries here: the queue has its own, and a search goes on with words alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def query(self, text: str) -> Vector:
        return self._embedded([text], timeout=_QUERY_TIMEOUT_SECONDS)[0]

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        return self._embedded(texts, timeout=_TIMEOUT_SECONDS)

    def _embedded(self, texts: Sequence[str], *, timeout: float) -> list[Vector]:
        memory = settings.CONFIG.memory
        try:
            answer = _litellm().embedding(
                model=self._name,
                input=[text[:_LONGEST] or " " for text in texts],
                timeout=timeout,
                max_retries=0,
                num_retries=0,
                api_key=memory.api_key or None,
                api_base=memory.base_url or None,
                encoding_format="float",
                drop_params=True,  # not every provider knows `encoding_format`; said per call, for models hear it too
            )
            vectors = [unit(np.asarray(item["embedding"], dtype=np.float32)) for item in answer.data]
        except EmbeddingError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a provider's client raises is the provider's failure
            raise EmbeddingError(redact_text(f"{self._name}: {type(error).__name__}: {error}")[:300]) from None
        if len(vectors) != len(texts):
            raise EmbeddingError(f"{self._name} gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors


@cache
def _litellm() -> Any:
    """Import litellm without its downloads and its chatter."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm  # noqa: PLC0415  takes seconds

    litellm.suppress_debug_info = True
    return litellm
