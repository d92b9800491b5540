"""Schemathesis reads the OpenAPI document and tries everything that it can think of, with all its checks.

It speaks as Charlie of `rival`, while `acme` has something of every kind: nothing of it may be in any answer, nor changed.
In an ordinary run it has few examples; `make attacks` gives it many.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from openintern.tenancy.scope import org_scope
from runs.models import Event, Run
from tests.conftest import Cast
from tests.live.conftest import Script, Server, server  # noqa: F401  a fixture

CANARY = "canary9Kz"
EXAMPLES = os.environ.get("OPENINTERN_ATTACKS", "2")
#: Streams answer until their run ends: tests/live has them.
SKIPPED = r"/(stream|progress)$"
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.slow
def test_schemathesis_finds_nothing(server: Server, committed: Cast, tmp_path: Path) -> None:  # noqa: F811
    script = Script(committed.alice)
    script.begin()
    script.note(CANARY)
    with org_scope(committed.alice.org):
        before = Run.objects.count(), Event.objects.count()

    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "--config-file", CONFIG, "run", f"{server.url}/api/schema/",
            "--header", f"Authorization: Bearer {committed.charlie.api_key}",
            "--checks", "all", "--seed", "20261125", "--max-examples", EXAMPLES, "--workers", "1",
            "--exclude-path-regex", SKIPPED, "--request-timeout", "30", "--generation-database", "none",
            "--continue-on-failure", "--no-color", "--report", "ndjson", "--report-dir", tmp_path,
        ],
        capture_output=True, text=True, timeout=1800, cwd=tmp_path, check=False,
    )  # fmt: skip

    report = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert done.returncode == 0, done.stdout[-20_000:]
    assert report
    assert CANARY.encode() not in report
    with org_scope(committed.alice.org):
        assert (Run.objects.count(), Event.objects.count()) == before
