"""`held`: the embedding model that says it was asked, by making the file HELD_SIGN, and never answers."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from django.apps import AppConfig

from memory.embedding.ports import Vector, provide


class Held:
    """Waits until the process is killed."""

    def query(self, text: str) -> Vector:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> list[Vector]:
        Path(os.environ["HELD_SIGN"]).write_text(str(len(texts)))
        threading.Event().wait()
        raise AssertionError("unreachable")


class HeldConfig(AppConfig):
    name = "tests.memory.held"

    def ready(self) -> None:
        provide("held", Held())
