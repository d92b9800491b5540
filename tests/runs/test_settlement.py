"""A person decides about a tool call in doubt, and the run goes on accordingly, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openintern.errors import OpenInternError
from openintern.tenancy.models import AuditEntry
from openintern.tenancy.scope import org_scope
from runs.engine import transactions
from runs.models import Run
from runs.settlement import settle_effect
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import status_of
from tests.runs.test_effects import Tally, assert_whole, counted, tally  # noqa: F401  fixtures
from tests.runs.test_engine import effects_of, of_type, types

Work = Callable[[], int]
CALL = "c0_count"


@pytest.fixture
def doubtful(
    alice: Person,
    counted: Callable[[str], Run],  # noqa: F811
    work: Work,
    crash_in: Callable[..., None],
) -> Run:
    """A run that waits because a crash left its one call, which had taken effect once, in doubt."""
    run = counted("unsure")
    crash_in(transactions, "finish_step")
    work()
    assert status_of(alice, run) == "waiting"
    return run


def settle(person: Person, run: Run, outcome: str, **options: Any) -> None:
    with org_scope(person.org):
        settle_effect(person.scope, run.pk, CALL, outcome=outcome, **options)


def test_what_happened_is_told_to_the_model(alice: Person, doubtful: Run, work: Work, tally: Tally) -> None:  # noqa: F811
    settle(alice, doubtful, "happened", result={"count": 1}, note="seen in the ledger")
    work()

    events = events_of(alice, doubtful)
    assert len(tally.keys) == 1
    assert of_type(events, "tool.result")[0]["result"] == {"count": 1}
    assert of_type(events, "tool.settled")[0]["settled_by"] == alice.user.username
    assert reload(alice, doubtful).output == "Counted."
    assert_whole(alice, doubtful)


def test_what_did_not_happen_is_an_error_for_the_model(alice: Person, doubtful: Run, work: Work, tally: Tally) -> None:  # noqa: F811
    settle(alice, doubtful, "did_not_happen")
    work()

    assert len(tally.keys) == 1
    assert of_type(events_of(alice, doubtful), "tool.result")[0]["error"]["code"] == "NOT_EXECUTED"
    assert status_of(alice, doubtful) == "completed"


def test_running_again_uses_the_same_key(alice: Person, doubtful: Run, work: Work, tally: Tally) -> None:  # noqa: F811
    settle(alice, doubtful, "run_again")
    work()

    assert len(tally.keys) == 2
    assert len(set(tally.keys)) == 1
    assert effects_of(alice, doubtful) == {CALL: "done"}
    assert_whole(alice, doubtful)


def test_the_first_decision_stands(alice: Person, doubtful: Run, work: Work) -> None:
    settle(alice, doubtful, "did_not_happen")

    with pytest.raises(OpenInternError) as refused:
        settle(alice, doubtful, "run_again")

    assert refused.value.code == "RUN_NOT_WAITING"
    work()
    assert types(events_of(alice, doubtful)).count("tool.settled") == 1


def test_a_decision_is_audited_with_who_took_it(alice: Person, doubtful: Run) -> None:
    settle(alice, doubtful, "did_not_happen")

    entry = AuditEntry.objects.get(action="effect.settle", object_id=f"{doubtful.pk}/{CALL}")
    assert (entry.actor, entry.details["outcome"]) == (alice.user, "did_not_happen")


def test_the_api_lists_and_settles_and_charlie_sees_nothing(
    alice: Person, charlie: Person, doubtful: Run, work: Work
) -> None:
    path = f"/api/runs/{doubtful.pk}/effects"
    body = {"outcome": "happened", "result": {"count": 1}}

    assert charlie.with_key().get(path).status_code == 404
    refused = charlie.with_key().post(f"{path}/{CALL}/settle", body, content_type="application/json")
    assert refused.status_code == 404
    assert alice.with_key().get(path).json()["effects"][0]["status"] == "in_doubt"
    wrong = alice.with_key().post(f"{path}/{CALL}/settle", {"outcome": "maybe"}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["error"]["details"]["field"]) == (400, "outcome")
    settled = alice.with_key().post(f"{path}/{CALL}/settle", body, content_type="application/json")
    assert settled.status_code == 200
    work()
    assert status_of(alice, doubtful) == "completed"
