"""The reader as a process: woken by what is sent, killed in the middle, and taken up by another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.db.models.functions import Now

from memory.documents import accepting, shelving
from memory.models import Document, Memory
from openintern.tenancy.scope import org_scope
from tests.conftest import Cast, Person

from .conftest import reload
from .making import pdf

ROOT = Path(__file__).resolve().parents[3]
State = Document.State


def wait_until(claim: Callable[[], Any], *, within: float = 60.0) -> Any:
    ends_at = time.monotonic() + within
    while not (found := claim()):
        assert time.monotonic() < ends_at, "it didn't come in time"
        time.sleep(0.02)
    return found


@pytest.fixture
def start(base_dir: Path, committed: Cast) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start readers; whatever is left of them is ended, and what they read is forgotten."""
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environ = os.environ | {"DATABASE_URL": database, "DATA_DIR": str(base_dir)}
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "reader", *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
    bob = committed.bob
    with org_scope(bob.org):
        for document in shelving.documents(bob.scope):
            shelving.forget(bob.scope, document.pk, at=document.created_at)


def send(person: Person, content: bytes, name: str) -> Document:
    with org_scope(person.org):
        return accepting.accept(person.scope, content=content, name=name).document


def children_of_readers() -> list[int]:
    commands = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/cmdline")}
    found = []
    for pid, path in commands.items():
        try:
            if b"memory.documents.child" in path.read_bytes():
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
    return found


@pytest.mark.slow
def test_it_is_woken_by_what_is_sent_and_ends_when_told(committed: Cast, start: Any) -> None:
    reader = start()
    first = send(committed.bob, b"The pangolin sleeps.", "process/first.md")
    wait_until(lambda: reload(committed.bob, first).is_final)

    second = send(committed.bob, b"The aardvark digs.", "process/second.md")
    wait_until(lambda: reload(committed.bob, second).state == State.DONE)

    reader.send_signal(signal.SIGTERM)
    assert reader.wait(60) == 0


@pytest.mark.slow
def test_one_that_is_killed_leaves_no_process_and_another_goes_on(committed: Cast, start: Any) -> None:
    bob = committed.bob
    document = send(bob, pdf(*["The pangolin sleeps.\n" * 30] * 1_500), "process/long.pdf")
    reader = start()
    [child] = wait_until(children_of_readers)
    os.kill(child, signal.SIGSTOP)  # so that it can't have finished before its reader is killed
    assert reload(bob, document).state == State.READING

    reader.kill()
    reader.wait()

    wait_until(lambda: not children_of_readers())
    with org_scope(bob.org):
        Document.objects.filter(pk=document.pk).update(available_at=Now() - timedelta(seconds=1))
    assert start("--once").wait(120) == 0
    done = reload(bob, document)
    assert (done.state, done.pages, done.tries) == (State.DONE, 1_500, 2)
    with org_scope(bob.org):
        assert Memory.objects.filter(document="process/long.pdf", forgotten_at=None).count() == 1
