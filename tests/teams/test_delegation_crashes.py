"""The workers of a run and of what it has begun die before the n-th statement that they send: nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import OperationalError, connection, connections

from openintern.tenancy.scope import org_scope
from runs import family
from runs.models import Run
from runs.queue.worker import work_once
from teams.models import Group, Role
from tests.conftest import Person, events_of, reload
from tests.runs.conftest import Crash, a_pulse, expire_leases, in_thread, status_of, ticket_of
from tests.runs.test_crash_sweep import FURTHEST, Saboteur
from tests.runs.test_effects import assert_whole
from tests.runs.test_engine import types
from tests.teams.test_delegating import children_of
from tests.teams.test_delegation_tools import give_to, staffed

Start = Callable[..., Run]
STRIDE = 7  # every statement would take minutes; `number % STRIDE` differs between the two tests


def work_until_it_dies(saboteur: Saboteur) -> None:
    """Be one worker for run after run, to the end that the saboteur brings about."""

    def work() -> None:
        with a_pulse() as pulse, connection.execute_wrapper(saboteur), suppress(Crash, OperationalError):
            while work_once(pulse):
                pass
        connections.close_all()

    in_thread(work, within=60)


def go_on(work: Callable[[], int]) -> None:
    """What happens by itself after a death: the lease ends, another worker comes, the minute's sweep looks."""
    expire_leases()
    work()
    family.deliver_all()
    work()


@pytest.fixture
def team(alice: Person, make_role: Callable[..., Role], make_group: Callable[..., Group]) -> Callable[[str], Group]:
    def make(mode: str) -> Group:
        member = make_role(alice, model='scripted/[{"text": "Found."}]')
        lead = make_role(alice, is_lead=True, model='scripted/[{"text": "Settled."}]')
        return staffed(alice, make_group(alice, mode=mode), member, lead)

    return make


def whole(person: Person, run: Run) -> None:
    for one in (run, *children_of(person, run)):
        assert_whole(person, one)
        assert status_of(person, one) == "completed"
        assert ticket_of(one) is None


@pytest.mark.slow
@pytest.mark.parametrize("cut", [False, True], ids=["the worker dies", "its connection is cut"])
def test_work_that_is_given_to_a_team(
    alice: Person, start_run: Start, work: Callable[[], int], team: Callable[[str], Group], cut: bool
) -> None:
    group = team("serial")
    for number in range(1 + 3 * cut, FURTHEST * 2, STRIDE):
        run = start_run(alice, steps=[give_to(group), {"text": "Done."}])
        saboteur = Saboteur(number, cut=cut)

        work_until_it_dies(saboteur)
        go_on(work)

        assert reload(alice, run).output == "Done.", f"statement {number}"
        assert len(children_of(alice, run)) == 1, f"statement {number}"
        assert types(events_of(alice, run)).count("tool.result") == 1, f"statement {number}"
        whole(alice, run)
        if saboteur.left > 0:
            break
    else:
        raise AssertionError(f"the runs take more than {FURTHEST * 2} statements")
    assert number > 60


@pytest.mark.slow
def test_a_team_whose_members_work_beside_each_other(
    alice: Person, start_run: Start, work: Callable[[], int], team: Callable[[str], Group]
) -> None:
    group = team("parallel")
    for number in range(2, FURTHEST * 2, STRIDE):
        run = start_run(alice, group_id=group.pk, llm_config=None)
        saboteur = Saboteur(number, cut=False)

        work_until_it_dies(saboteur)
        go_on(work)

        assert reload(alice, run).output == "Settled.", f"statement {number}"
        assert len(children_of(alice, run)) == 1, f"statement {number}"
        assert types(events_of(alice, run)).count("member.completed") == 2, f"statement {number}"
        whole(alice, run)
        if saboteur.left > 0:
            break
    else:
        raise AssertionError(f"the runs take more than {FURTHEST * 2} statements")
    assert number > 60


def test_nothing_waits_that_has_nobody_to_wait_for(alice: Person, start_run: Start, work: Callable[[], int]) -> None:
    """The sweep leaves alone what is as it should be."""
    start_run(alice)
    work()

    with org_scope(alice.org):
        assert family.deliver_missing() == 0
