"""Two clusters whose clocks are days apart: leases, turns and order are the database's and the log's, so nobody minds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from openintern.ids import random_text
from openintern.tenancy.scope import public_scope
from runs.queue.models import Ticket
from tests.faults.history import History
from tests.faults.processes import ROOT, WorkerCluster, holder_of, wait_until
from tests.faults.tasks import start_three_steps
from tests.faults.test_worker_death import kill_holder

AHEAD, BEHIND = timedelta(days=3), timedelta(days=-1)


def off_by(clock: timedelta) -> dict[str, str]:
    return {"CLOCK_IS_OFF_BY": str(clock.total_seconds())}


def ticket_of(run_id: str) -> Ticket:
    with public_scope():
        return Ticket.objects.get(run_id=run_id)


def test_neither_takes_the_others_run_and_each_goes_on_with_the_run_of_one_that_died(
    start_cluster: Callable[..., WorkerCluster], history: History
) -> None:
    clusters = [start_cluster(workers=1, **off_by(clock)) for clock in (AHEAD, BEHIND)]
    holds = [random_text(10) for _ in clusters]
    runs = [start_three_steps(history, trouble={"hold": hold}) for hold in holds]
    for hold in holds:
        history.peer.wait_held(hold, timeout=60)

    firsts = [ticket_of(run_id).lease_expires_at for run_id in runs]
    for run_id, first in zip(runs, firsts, strict=True):
        wait_until(lambda run_id=run_id, first=first: ticket_of(run_id).lease_expires_at > first, within=30)
    assert [ticket_of(run_id).attempt for run_id in runs] == [1, 1]
    assert {holder_of(run_id) in clusters[0].descendants() for run_id in runs} == {True, False}

    for run_id in runs:
        kill_holder(history, run_id)
    for run_id in runs:
        history.wait_event(run_id, "run.resumed", within=60)
    for hold in holds:
        history.peer.release(hold)
    for run_id in runs:
        assert history.wait_end(run_id)["status"] == "completed"
        assert history.read(run_id)["attempt"] == 2
    history.judge()


def test_the_clocks_are_wrong(environ: dict[str, str]) -> None:
    program = "from django.conf import settings as s; s.DEBUG; from django.utils import timezone as t; print(t.now().timestamp())"
    for clock in (AHEAD, BEHIND):
        told = subprocess.check_output([sys.executable, "-c", program], env={**environ, **off_by(clock)}, cwd=ROOT)
        assert abs(float(told) - time.time() - clock.total_seconds()) < 600
