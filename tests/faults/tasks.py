"""Tasks whose course the provider's script fixes, each in a session of its own unless told."""

from __future__ import annotations

from typing import Any

from openintern.ids import random_text
from tests.faults.history import History

Step = dict[str, Any]


def strike(kind: str, name: str) -> Step:
    """An answer that calls the tool of that recovery class; the effect is known outside by `name`."""
    return {"tool_calls": [{"name": f"strike_{kind}", "id": f"call_{name}", "arguments": {"name": name}}]}


def start_three_steps(history: History, *, session: str = "", trouble: Step | None = None) -> str:
    """A call that may be repeated under its key, one that never may be, and an answer.

    With `trouble` (see `tests.peers.llm`) the provider behaves so at the second step, each time it is asked.
    """
    marker = random_text(10)
    history.peer.script(
        strike("keyed", f"keyed-{marker}"),
        strike("unsure", f"unsure-{marker}") | (trouble or {}),
        {"text": "Both struck."},
        marker=f"marker:{marker}",
        by_results=True,
    )
    return history.start("three steps", session=session or marker, marker=marker)


def start_long(history: History, *, steps: int) -> str:
    """One harmless call after another, each with an argument of its own, and an answer."""
    marker = random_text(10)
    calls = [strike("pure", f"pure-{marker}-{number}") for number in range(steps - 1)]
    history.peer.script(*calls, {"text": "Seen it all."}, marker=f"marker:{marker}", by_results=True)
    return history.start("look around", session=marker, marker=marker)
