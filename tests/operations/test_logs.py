"""Each line that a worker logs says of which organisation, run and attempt it speaks."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from runs.models import Run
from runs.tools.registry import ToolContext
from tests.conftest import Person


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines as an operator's log collector gets them."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    declared = settings.LOGGING["formatters"]["line"]
    handler.setFormatter(declared["()"](**{name: value for name, value in declared.items() if name != "()"}))
    logging.getLogger().addHandler(handler)
    try:
        yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    finally:
        logging.getLogger().removeHandler(handler)


def stumble(context: ToolContext) -> dict[str, Any]:
    """Stumble."""
    raise RuntimeError("over a stone")


def test_a_workers_lines_name_organisation_run_and_attempt(
    alice: Person,
    start_run: Callable[..., Run],
    work: Callable[[], int],
    add_tool: Callable[..., Any],
    logged: Callable[[], list[dict[str, Any]]],
) -> None:
    add_tool(stumble, recovery="pure")
    run = start_run(
        alice, steps=[{"tool_calls": [{"name": "stumble", "arguments": {}, "id": "c0"}]}, {"text": "Ouch."}]
    )

    work()

    [line] = [line for line in logged() if "over a stone" in json.dumps(line)]
    assert (line["org"], line["run"], line["attempt"]) == ("acme", run.pk, 1)
    assert line["level"] == "error"
