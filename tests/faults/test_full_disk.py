"""The database's disk is full: nobody is told that something is recorded which isn't, and it all goes on with space."""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from openintern.ids import random_text
from tests.faults.history import History
from tests.faults.installation import CANARY, HttpClient, Installation, installed
from tests.faults.processes import wait_until
from tests.peers.effects import Outside
from tests.peers.llm import Peer

pytestmark = pytest.mark.faults
DISK = "512m"
SIZE = 300_000  # characters of one task
LEFT = 4 * 1024 * 1024  # bytes, for some tasks


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real disk of its own, on which a database fits and not much more. Its account has to get in."""
    place = Path(tempfile.mkdtemp(prefix="openintern-disk-"))
    options = f"size={DISK},mode=0755"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False, capture_output=True)
    if mounted.returncode:
        place.rmdir()
        pytest.skip("mounting a disk takes root's rights")
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    place.rmdir()


@pytest.fixture
def crowded(disk: Path, peer: Peer, outside: Outside) -> Iterator[Installation]:
    told = {"EFFECTS_URL": outside.url, "LLM_PROVIDER": "mock", "LLM_BASE_URL": f"{peer.url}/v1"}
    with installed(**told) as made:
        made.start_web()
        made.start_workers(1)
        yield made


def ask_for_work(program: HttpClient) -> httpx.Response | None:
    """Send a task once; None where the connection was lost over it."""
    body = {
        "input": secrets.token_hex(SIZE // 2),
        "session_key": f"s_{random_text(8)}",
        "llm_config": {"provider": "mock"},
    }
    headers = program.headers | {"Idempotency-Key": random_text(20)}
    try:
        return httpx.post(f"{program.url}/api/runs", json=body, headers=headers, timeout=60)
    except httpx.HTTPError:
        return None


def fill(disk: Path) -> Path:
    """Take all the space that there is, but a little."""
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            file.truncate(filling.stat().st_size - LEFT)
            return filling


def test_what_is_accepted_is_recorded_and_the_rest_is_refused_until_there_is_space(
    disk: Path, crowded: Installation, peer: Peer, outside: Outside
) -> None:
    program = crowded.organisation("acme")
    crowded.wait_ready()
    history = History(program, peer, outside, is_blind=True, secrets={CANARY})
    filling = fill(disk)

    answers: list[Any] = []
    wait_until(
        lambda: answers.append(ask_for_work(program)) or (answers[-1] is None or answers[-1].status_code != 201),
        within=120,
        what="a refusal",
    )
    assert len(answers) > 1, "the disk was full from the beginning"
    refused = [answer for answer in answers if answer is not None and answer.status_code != 201]
    assert all((answer.status_code, answer.headers["Retry-After"] > "") == (503, True) for answer in refused)

    has_ended = crowded._database.poll() is not None  # as it does where it can't write its log
    print(f"{len(answers) - 1} accepted, then {answers[-1]}; the database has ended itself: {has_ended}")
    filling.unlink()
    if has_ended:
        crowded.restart_database()
    crowded.wait_ready()
    assert wait_until(lambda: (found := ask_for_work(program)) and found.status_code == 201 and found, within=60)
    history.accepted += [
        answer.json()["run_id"] for answer in answers if answer is not None and answer.status_code == 201
    ]
    for run_id in history.accepted:
        assert history.wait_end(run_id, within=120)["status"] in {"completed", "failed"}
        history.events(run_id)
    history.judge()
