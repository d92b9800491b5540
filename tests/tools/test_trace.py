"""An agent reads what happened in a run that its person may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.tenancy.scope import org_scope
from runs import log
from runs.events import Draft, EventType
from runs.models import Run
from runs.tools import results
from runs.tools.registry import ToolError
from runs.tools.workspace import Workspace
from tests.conftest import Person

from .conftest import Agent

Start = Callable[..., Run]


@pytest.fixture
def export(workspace: Workspace) -> Callable[..., dict[str, Any]]:
    def export(person: Person, **arguments: Any) -> dict[str, Any]:
        with org_scope(person.org):
            return Agent(workspace, scope=person.scope).call("export_trace", **arguments)

    return export


def warn(person: Person, run: Run, *, times: int, text: str = "x") -> None:
    with org_scope(person.org):
        run = Run.objects.get(pk=run.pk)
        log.append(run, *[Draft(EventType.RUN_WARNING, {"code": "TEST", "message": text}) for _ in range(times)])


def test_the_events_of_ones_own_run_are_read_in_order(
    alice: Person, start_run: Start, export: Callable[..., Any]
) -> None:
    run = start_run(alice)
    warn(alice, run, times=3)

    trace = export(alice, run_id=run.pk)

    assert trace["run_id"] == run.pk
    assert trace["truncated"] is False
    assert [event["seq"] for event in trace["events"]] == list(range(1, len(trace["events"]) + 1))
    assert [event["type"] for event in trace["events"]].count("run.warning") == 3


def test_a_long_trace_is_read_in_parts(alice: Person, start_run: Start, export: Callable[..., Any]) -> None:
    run = start_run(alice)
    warn(alice, run, times=60, text="长" * 1000)

    seqs, truncated = [0], True
    while truncated:
        part = export(alice, run_id=run.pk, after=seqs[-1])
        assert results.json_size(part) <= results.MAX_BYTES
        assert "cut" not in part
        seqs += [event["seq"] for event in part["events"]]
        truncated = part["truncated"]

    assert seqs == list(range(len(seqs)))
    assert len(seqs) > 60


def test_a_limit_is_kept_and_said(alice: Person, start_run: Start, export: Callable[..., Any]) -> None:
    run = start_run(alice)
    warn(alice, run, times=3)

    trace = export(alice, run_id=run.pk, limit=2)

    assert (len(trace["events"]), trace["truncated"]) == (2, True)


def test_a_run_out_of_sight_is_as_one_that_does_not_exist(
    alice: Person, bob: Person, charlie: Person, start_run: Start, export: Callable[..., Any]
) -> None:
    run = start_run(alice)

    refusals = set()
    for person, run_id in [(bob, run.pk), (charlie, run.pk), (charlie, "run_none")]:
        with pytest.raises(ToolError) as refused:
            export(person, run_id=run_id)
        refusals.add(str(refused.value))

    assert refusals == {"Run not found"}
