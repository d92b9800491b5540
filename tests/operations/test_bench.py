"""The figures that carry no noise hold in every build, and the command fails where one doesn't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from openintern.bench import Figure, ground, suites
from openintern.bench.suites import Suite
from tests.conftest import Person
from tests.faults.processes import ROOT

#: What the other tests turn off or have already: a measurement is made with what an installation begins with.
_TESTS_OWN = ("DATABASE_URL", "DATA_DIR", "MEMORY_RECALLED", "MEMORY_REMEMBER_RUNS")


def test_a_step_writes_no_more_than_it_may() -> None:
    environ = {name: value for name, value in os.environ.items() if name not in _TESTS_OWN}

    measured = subprocess.run(
        [sys.executable, "manage.py", "bench", "engine", "--quick", "--json"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert measured.returncode == 0, measured.stdout + measured.stderr
    figures = {figure["name"]: figure for figure in json.loads(measured.stdout)["suites"]["engine"]}
    assert figures["write transactions a step"]["value"] == 2
    assert figures["write transactions a step where a budget applies"]["value"] == 2
    assert {figure["verdict"] for figure in figures.values() if figure["enforced"]} <= {"met", "aim"}


@pytest.mark.parametrize(
    ("figure", "code"),
    [
        (Figure(name="too slow", value=9, unit="ms", bar=5), 0),
        (Figure(name="too many", value=9, unit="", bar=5, enforced=True), 1),
        (Figure(name="few enough", value=5, unit="", bar=5, enforced=True), 0),
        (Figure(name="too few", value=9, unit="", floor=100, bar=0.15, more_is_better=True, enforced=True), 1),
    ],
)
def test_only_an_enforced_figure_that_misses_its_bar_fails_the_command(
    figure: Figure, code: int, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "_suites", {"one": Suite("one", lambda options: iter([figure]))})
    monkeypatch.setenv(ground.ALLOWED, "yes")
    monkeypatch.setattr(ground, "prepare", lambda: alice.scope)
    out = StringIO()

    if code:
        with pytest.raises(CommandError, match=figure.name):
            call_command("bench", "one", stdout=out)
    else:
        call_command("bench", "one", stdout=out)

    assert figure.name in out.getvalue()
