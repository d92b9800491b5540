"""`manage.py up`, as a person and as a script meet it: a process with everything below it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from openintern.postgres import Server, temporary_server

ROOT = Path(__file__).resolve().parent.parent.parent
START_WITHIN = 150.0


@dataclass
class Up:
    """A started installation: the process and its one line."""

    process: subprocess.Popen[str]
    line: dict[str, Any]

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.line["url"] + path)
        request.add_header("Authorization", f"Bearer {self.line['api_key']}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return the exit status and what was said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@pytest.fixture(scope="module")
def base_dir() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="openintern-up-"))
    place.chmod(0o711)
    yield place / "data"
    if (place / "data" / "postgres").exists():
        Server(place / "data").destroy()
    shutil.rmtree(place)


@pytest.fixture
def up(base_dir: Path) -> Iterator[Callable[..., Up]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Up:
        process = launch(base_dir, "--json", *arguments)
        started.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return Up(process, json.loads(line))

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def launch(base_dir: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DATA_DIR")}
    command = [sys.executable, str(ROOT / "manage.py"), "up", "--data-dir", str(base_dir), *arguments]
    return subprocess.Popen(
        command, env={**environ, **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=base_dir.parent
    )


def command(base_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run another command beside it, as in a second terminal."""
    environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={**environ, "DATA_DIR": str(base_dir)}, capture_output=True, text=True, cwd=base_dir.parent, check=False,
        timeout=120,
    )  # fmt: skip


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


def below(base_dir: Path) -> list[str]:
    """Every process that has the data directory in its environment or its arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if os.fsencode(base_dir) in known:
            found.append(process.name)
    return found


def until(condition: Callable[[], bool], *, within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_first_start_gives_a_script_all_it_needs(up: Callable[..., Up], base_dir: Path) -> None:
    port = free_port()

    first = up("--port", port, "--workers", "1")

    assert first.line["url"] == f"http://127.0.0.1:{port}"
    assert first.line["user"] == "user_default"
    assert len(first.line["password"]) >= 12
    with psycopg.connect(first.line["database_url"]) as connection:
        assert connection.execute("SELECT slug FROM public.tenancy_organization").fetchall() == [("org_default",)]
    status, health = first.get("/health")
    assert status == 200
    assert {"database": "ok", "migrations": "ok", "workers": 1}.items() <= health.items()
    assert first.get("/api/runs")[0] == 200
    healthy = command(base_dir, "doctor")
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    status_of_stop, said = first.stop()
    assert status_of_stop == 0, said
    assert first.process.stdout is not None
    assert below(base_dir) == []


def test_a_later_start_keeps_key_and_database_and_knows_no_password(up: Callable[..., Up], base_dir: Path) -> None:
    key = (base_dir / "api_key").read_text().strip()

    again = up("--port", free_port(), "--workers", "1")

    assert again.line["password"] is None
    assert again.line["api_key"] == key
    assert (base_dir / "api_key").stat().st_mode & 0o777 == 0o600
    assert again.stop(signal.SIGTERM)[0] == 0
    assert below(base_dir) == []


def test_a_second_start_on_the_same_data_is_refused_and_disturbs_nothing(up: Callable[..., Up], base_dir: Path) -> None:
    first = up("--port", free_port(), "--workers", "1")

    second = launch(base_dir, "--json", "--port", free_port())
    out, said = second.communicate(timeout=60)

    assert second.returncode == 1
    assert out == ""
    assert f"process {first.process.pid}" in said
    assert "Traceback" not in said
    assert first.get("/health")[0] == 200
    first.stop()


def test_after_a_kill_nothing_stays_and_the_next_start_works(up: Callable[..., Up], base_dir: Path) -> None:
    first = up("--port", free_port(), "--workers", "2")
    assert len(below(base_dir)) > 4

    first.process.kill()
    first.process.communicate()

    until(lambda: below(base_dir) == [])
    again = up("--port", free_port(), "--workers", "1")
    assert again.get("/health")[0] == 200
    again.stop()


def test_a_web_server_and_workers_that_were_killed_come_back(up: Callable[..., Up], base_dir: Path) -> None:
    first = up("--port", free_port(), "--workers", "1")

    for part in ("uvicorn", "qcluster"):
        victim = next(pid for pid in below(base_dir) if part in Path(f"/proc/{pid}/cmdline").read_text())
        os.kill(int(victim), signal.SIGKILL)

    def is_well() -> bool:
        try:
            return first.get("/health")[0] == 200
        except OSError:
            return False

    until(lambda: not is_well())
    until(is_well, within=60)
    status, said = first.stop()
    assert status == 0
    assert "started again" in said


def test_a_database_that_was_killed_comes_back_with_everything_recorded(up: Callable[..., Up], base_dir: Path) -> None:
    first = up("--port", free_port(), "--workers", "1")
    pid = (base_dir / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0]

    os.kill(int(pid), signal.SIGKILL)

    until(lambda: not Path(f"/proc/{pid}").exists())
    until(lambda: first.get("/health")[0] == 200, within=60)
    assert first.get("/api/runs")[0] == 200
    assert first.stop()[0] == 0


def test_a_database_of_ones_own_is_used_where_one_is_named() -> None:
    with temporary_server() as url, tempfile.TemporaryDirectory() as place:
        base_dir = Path(place) / "data"
        process = launch(base_dir, "--json", "--port", free_port(), "--workers", "1", DATABASE_URL=url)
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)

        assert line["database_url"] == url
        assert not (base_dir / "postgres").exists()
        assert process.returncode == 0
        with psycopg.connect(url) as connection:  # ours is none of its children
            assert connection.execute("SELECT count(*) FROM public.tenancy_organization").fetchone() == (1,)


def test_a_database_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nowhere"

    refused = launch(tmp_path / "data", "--port", free_port(), DATABASE_URL=url)
    _, said = refused.communicate(timeout=60)

    assert refused.returncode == 1
    assert "The database can't be used" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("wrong", [["--port", "70000"], ["--workers", "0"], ["--port", "http"]])
def test_what_the_command_line_says_wrongly_is_refused(tmp_path: Path, wrong: list[str]) -> None:
    refused = launch(tmp_path / "data", *wrong)
    _, said = refused.communicate(timeout=60)

    assert refused.returncode == 2
    assert wrong[0] in said
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken_is_told_before_anything_starts(base_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = launch(base_dir, "--port", str(taken.getsockname()[1]))
        _, said = refused.communicate(timeout=60)

    assert refused.returncode == 1
    assert "--port" in said
    assert "Traceback" not in said


def test_without_a_database_doctor_says_what_to_do(base_dir: Path) -> None:
    sick = command(base_dir, "doctor", "--json")

    report = json.loads(sick.stdout)
    findings = {check["name"]: check for check in report["checks"]}
    assert sick.returncode == 1
    assert report["ok"] is False
    assert not findings["database"]["ok"]
    assert "up" in findings["database"]["remedy"]
    assert findings["disk"]["ok"]


def test_a_first_start_shows_a_person_the_system_at_work() -> None:
    place = Path(tempfile.mkdtemp(prefix="openintern-up-"))
    place.chmod(0o711)
    process = launch(place / "data", "--port", free_port(), "--workers", "1", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
        Server(place / "data").destroy()
        shutil.rmtree(place)

    text = "".join(said)
    for part in ("user_default", "shown this once", "run.started", "tool.called", "run.completed"):
        assert part in text, (part, text, complaints)
    assert process.returncode == 0
