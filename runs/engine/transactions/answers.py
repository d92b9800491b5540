"""What goes with every answer that is stored: what it cost, and which memories the model had been reminded of."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from memory.models import Memory
from runs import budgets
from runs.engine.work import Work
from runs.events import Draft
from runs.llm.types import Answer


def settle(work: Work, answer: Answer) -> None:
    """Book what the answer did cost, and give back what was held for it."""
    budgets.settle(work.run, answer.usage, held=work.held, at=timezone.now())
    work.held = None


def note_reminded(reminded: list[Draft]) -> None:
    """Let the memories know that they were needed, in the transaction that logs it."""
    memories: Any = Memory.objects
    for draft in reminded:
        memories.filter(pk__in=[hit["id"] for hit in draft.payload["hits"]]).note_recalled(at=timezone.now())
