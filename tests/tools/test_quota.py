"""What agents write is bounded, and a write that fails leaves nothing behind."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runs.tools.paths import TEMPORARY
from runs.tools.registry import ToolError, tools
from runs.tools.workspace import Usage

from .conftest import Agent, names, open_at


def test_a_file_over_the_size_is_not_written(root: Path) -> None:
    agent = Agent(open_at(root, file_bytes=10))

    with pytest.raises(ToolError, match="Over quota: a file has at most 10 bytes"):
        agent.call("write_file", path="a.txt", content="x" * 11)

    assert names(root) == []


def test_a_file_over_the_size_is_not_read(root: Path, write: Callable[..., Path]) -> None:
    write("a.txt", "x" * 11)
    agent = Agent(open_at(root, file_bytes=10))

    with pytest.raises(ToolError, match="too large"):
        agent.call("read_file", path="a.txt")
    assert agent.call("grep_files", pattern="x")["files_searched"] == 0


def test_more_text_than_one_call_may_write_is_refused_before_it_runs(agent: Agent) -> None:
    with pytest.raises(ToolError, match="Invalid tool arguments: content"):
        agent.call("write_file", path="a.txt", content="x" * 1_000_001)


def test_a_workspace_that_is_full_takes_no_more_bytes(root: Path) -> None:
    agent = Agent(open_at(root, total_bytes=100))
    agent.call("write_file", path="a.txt", content="x" * 60)

    with pytest.raises(ToolError, match="Over quota: this workspace may hold 100 bytes"):
        agent.call("write_file", path="deep/b.txt", content="x" * 41)

    agent.call("write_file", path="a.txt", content="y" * 100)  # what it replaces is counted off
    assert names(root) == ["a.txt"]


def test_appending_for_ever_ends_at_the_quota(root: Path) -> None:
    agent = Agent(open_at(root, total_bytes=1000))
    agent.call("write_file", path="log.txt", content="end")

    with pytest.raises(ToolError, match="Over quota"):
        append_for_ever(agent)

    assert (root / "log.txt").stat().st_size == 1000 - (1000 - 3) % 50


def append_for_ever(agent: Agent) -> None:
    while True:
        agent.call("edit_file", path="log.txt", old_text="end", new_text="x" * 50 + "end")


def test_small_files_end_at_the_quota(root: Path) -> None:
    agent = Agent(open_at(root, files=5))

    for number in range(5):
        agent.call("write_file", path=f"notes/{number}.txt", content="x")

    with pytest.raises(ToolError, match="Over quota: this workspace has 5 files"):
        agent.call("write_file", path="notes/5.txt", content="x")

    assert names(root / "notes") == ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt"]


def test_the_usage_is_kept_up_to_date_by_writing(root: Path) -> None:
    usage = Usage()
    with open_at(root) as workspace:
        workspace.write("a.txt", b"12345", usage=usage)
        workspace.write("a.txt", b"123", usage=usage)
        workspace.write("b/c.txt", b"1", usage=usage)

        assert usage == workspace.usage() == Usage(files=2, bytes=4)


def test_two_runs_that_write_the_same_new_file_do_not_overwrite_each_other(root: Path) -> None:
    """Both saw no file there; only one may make it."""
    barrier, outcomes = threading.Barrier(2), []

    def make(text: str) -> None:
        agent = Agent(open_at(root))
        barrier.wait()
        try:
            outcomes.append(agent.call("write_file", path="report.md", content=text)["created"])
        except ToolError as error:
            outcomes.append("not read it" in str(error))

    threads = [threading.Thread(target=make, args=(text,)) for text in ("one" * 1000, "two" * 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outcomes == [True, True]
    assert (root / "report.md").read_text() in ("one" * 1000, "two" * 1000)


@pytest.mark.parametrize("call", ["fsync", "rename"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_failing_disk_leaves_the_old_file_and_no_half_one(
    agent: Agent, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    agent.call("write_file", path="a.txt", content="old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ToolError, match="disk"):
        agent.workspace.write("a.txt", b"new")

    assert names(root) == ["a.txt"]
    assert (root / "a.txt").read_text() == "old"


def test_a_full_disk_is_told_to_the_model_and_holds_no_half_file(small_disk: Path) -> None:
    with open_at(small_disk) as workspace:
        agent = Agent(workspace)
        agent.call("write_file", path="a.txt", content="x" * 900_000)

        with pytest.raises(ToolError, match=r"disk is full; a.txt was left as it was"):
            workspace.write("a.txt", b"y" * 1_500_000)

        assert names(small_disk) == ["a.txt"]
        assert agent.call("read_file", path="a.txt")["content"].startswith("x")


def test_what_a_killed_writer_left_is_removed_by_a_later_one(
    agent: Agent, root: Path, write: Callable[..., Path]
) -> None:
    old, new = write(TEMPORARY + "old", "half"), write(TEMPORARY + "new", "half")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))

    agent.call("write_file", path="a.txt", content="x")

    assert names(root) == sorted([new.name, "a.txt"])
    assert agent.call("list_files")["entries"] == [{"name": "a.txt", "type": "file", "size": 1}]


@pytest.mark.parametrize("name", ["write_file", "edit_file"])
def test_tools_that_change_files_say_how_a_crash_is_judged(name: str) -> None:
    assert (tools()[name].mutating, tools()[name].recovery, tools()[name].risk) == (True, "checkable", "medium")
