"""A model that always says the same: for tests of everything but the model."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from decimal import Decimal

from runs.llm.types import Answer, Request, Usage

TEXT = "I have completed the task."
THINKING_SECONDS = 0.01


class MockModel:
    """Completes every task, word by word."""

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """See `Model.stream`."""
        time.sleep(THINKING_SECONDS)
        yield from re.findall(r"\S+\s*", TEXT)
        usage = Usage(prompt_tokens=50, completion_tokens=20, cost=Decimal(0))
        yield Answer(text=TEXT, tool_calls=(), usage=usage, model=request.spec.model, finish_reason="stop")
