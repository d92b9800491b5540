"""A worker dies over a team's run, wherever it may be: the right member goes on, none works twice, one decision is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from runs.engine import transactions
from runs.models import Run
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import crash_in, expire_leases, hire, ticket_of
from tests.runs.test_crash_sweep import FURTHEST, Saboteur, work_sabotaged
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import calls
from tests.teams.rosters import make_team, of_type, start_team, turns_of

__all__ = ["crash_in", "hire"]

Work = Callable[[], int]
FAILING: list[dict[str, Any]] = [{"error": "LLM_BAD_REQUEST"}]


def assert_one_course(person: Person, run: Run, *turns: str) -> None:
    """The run came to its answer by these turns, each of which began once."""
    events = events_of(person, run)
    assert reload(person, run).output == "So be it."
    assert turns_of(person, run) == list(turns)
    assert len(of_type(events, "member.started")) == len(turns)
    assert len(of_type(events, "message.decision")) == 1
    assert len(of_type(events, "run.completed", "run.failed", "run.cancelled")) == 1
    assert ticket_of(run) is None
    assert_whole(person, run)


def sweep(person: Person, work: Work, *, stride: int) -> int:
    """Let a worker die at every so-manieth statement of a team's run; return how many statements there are.

    No turn is begun twice, and none is left out. What tools are promised is held in `tests/runs/test_crash_sweep.py`.
    """
    scripts: dict[str, Any] = {"a": [{"text": "One."}], "b": FAILING, "lead": [{"text": "So be it."}]}
    group = make_team(person, lead="lead", scripts=scripts)
    for number in range(1, FURTHEST, stride):
        run = start_team(person, group)
        saboteur = Saboteur(number, cut=False)

        work_sabotaged(saboteur)
        expire_leases()
        work()

        assert_one_course(person, run, "a", "b!", "lead")
        if saboteur.left > 0:
            return number
    raise AssertionError(f"a team of three takes more than {FURTHEST} statements")


def test_at_every_fourth_statement(alice: Person, work: Work) -> None:
    assert sweep(alice, work, stride=4) > 40


@pytest.mark.faults
def test_at_every_statement(alice: Person, work: Work) -> None:
    assert sweep(alice, work, stride=1) > 40


def test_a_turn_without_tools_is_one_transaction(alice: Person, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[str] = []
    original = type(connections["default"])._commit

    def commit(self: Any) -> None:
        commits.append("commit")
        original(self)

    def count(*names: str) -> int:
        scripts: dict[str, Any] = {**{name: [{"text": "One."}] for name in names}, "lead": [{"text": "So be it."}]}
        start_team(alice, make_team(alice, lead="lead", scripts=scripts))
        commits.clear()
        work()
        return len(commits)

    monkeypatch.setattr(type(connections["default"]), "_commit", commit)

    assert count("a", "b", "c") - count("a") == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_around_the_end_of_a_turn(alice: Person, work: Work, crash_in: Callable[..., None], after: bool) -> None:
    scripts: dict[str, Any] = {"a": [{"text": "One."}], "lead": [{"text": "So be it."}]}
    run = start_team(alice, make_team(alice, lead="lead", scripts=scripts))

    crash_in(transactions, "finish", after=after)
    work()

    assert_one_course(alice, run, "a", "lead")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("policy", "turns"), [("continue", ["a!", "lead"]), ("retry", ["a!", "a!", "lead"])])
def test_around_the_failure_of_a_member(
    alice: Person, work: Work, crash_in: Callable[..., None], policy: str, turns: list[str], after: bool
) -> None:
    scripts: dict[str, Any] = {"a": FAILING, "lead": [{"text": "So be it."}]}
    run = start_team(alice, make_team(alice, lead="lead", scripts=scripts, on_member_failure=policy))

    crash_in(transactions, "fail", after=after)
    work()

    assert_one_course(alice, run, *turns)


def test_one_who_takes_up_a_team_in_the_middle_hears_what_the_others_did(
    alice: Person, work: Work, crash_in: Callable[..., None]
) -> None:
    """The lead's script goes by the conversation that it is shown, so one that heard of others' turns would be over."""
    scripts: dict[str, Any] = {
        "a": [calls("memory_search", query="x"), {"text": "One."}],
        "lead": [{"text": "So be it."}],
    }
    run = start_team(alice, make_team(alice, lead="lead", scripts=scripts))

    crash_in(transactions, "finish_step", after=True)
    crash_in(transactions, "finish", after=True)
    work()

    assert_one_course(alice, run, "a", "lead")
    assert reload(alice, run).attempt == 3
