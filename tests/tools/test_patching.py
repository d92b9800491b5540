"""Patches: applied to the letter, all or nothing, and never twice."""

from __future__ import annotations

import difflib
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from runs.stop import Stopped
from runs.tools.registry import ToolError
from runs.tools.workspace import Workspace, digest

from .conftest import Agent, names, open_at

LINES = st.lists(
    st.sampled_from(["a\n", "b\n", "\n", "- c\n", "+\n", "-- d\n", "@@ e\n", "\\ f\n", "x\r\n", "一\n"]), max_size=14
)
TEXT = st.builds(lambda lines, tail: "".join(lines) + tail, LINES, st.sampled_from(["", "", "end", "a", "-"]))


def diff(
    old: str, new: str, *, path: str = "a.txt", context: int = 3, create: bool = False, delete: bool = False
) -> str:
    """What `diff -u` would print."""
    lines = difflib.unified_diff(
        list(io.StringIO(old, newline="\n")),
        list(io.StringIO(new, newline="\n")),
        "/dev/null" if create else f"a/{path}",
        "/dev/null" if delete else f"b/{path}",
        n=context,
    )
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def seen(agent: Agent, *paths: str) -> Agent:
    for path in paths:
        agent.call("read_file", path=path)
    return agent


@settings(max_examples=200)
@example(old="a\nx\r\n", new="x\r\n", context=0)  # as if the diff had been written for other line ends
@example(old="a\r\n", new="", context=3)
@given(old=TEXT, new=TEXT, context=st.integers(0, 4))
def test_a_diff_applied_gives_the_new_text_and_is_known_to_have_been(old: str, new: str, context: int) -> None:
    patch = diff(old, new, context=context)
    is_dos = 0 < old.count("\n") == old.count("\r\n")
    assume(not is_dos or "\r" in patch)  # else it is meant with the file's own line ends: held elsewhere
    with TemporaryDirectory() as folder, open_at(Path(folder)) as workspace:
        file = Path(folder, "a.txt")
        file.write_bytes(old.encode())
        agent = seen(Agent(workspace), "a.txt")
        before = dict(agent.seen)
        if old == new:
            with pytest.raises(ToolError, match="no change"):
                agent.call("apply_patch", patch=patch or "\n")
            return

        result = agent.call("apply_patch", patch=patch)

        assert file.read_bytes() == new.encode()
        assert result == {
            "files": [
                {"path": "a.txt", "action": "changed", "bytes": len(new.encode()), "sha256": digest(new.encode())}
            ]
        }
        agent.seen = before  # the worker died before it could tell
        assert agent.landed("apply_patch", patch=patch) == result
        assert agent.call("apply_patch", patch=patch) == result
        assert file.read_bytes() == new.encode()


@settings(max_examples=100)
@given(old=LINES, new=LINES, other=LINES)
def test_a_diff_that_fits_another_file_takes_and_puts_only_its_own_lines(
    old: list[str], new: list[str], other: list[str]
) -> None:
    patch = diff("".join(old), "".join(new))
    with TemporaryDirectory() as folder, open_at(Path(folder)) as workspace:
        file = Path(folder, "a.txt")
        file.write_bytes("".join(other).encode())
        agent = seen(Agent(workspace), "a.txt")

        try:
            agent.call("apply_patch", patch=patch or "\n")
        except ToolError:
            assert file.read_bytes() == "".join(other).encode()
        else:
            assert lines(file.read_bytes().decode()) - lines(*other) == lines(*new) - lines(*old)
            assert lines(*other) - lines(file.read_bytes().decode()) == lines(*old) - lines(*new)


def lines(*text: str) -> Counter[str]:
    """How often each line occurs, whichever its end."""
    return Counter(line.rstrip("\r") for line in "".join(text).split("\n"))


@given(text=TEXT.filter(bool))
def test_a_file_is_created_and_deleted(text: str) -> None:
    with TemporaryDirectory() as folder, open_at(Path(folder)) as workspace:
        agent = Agent(workspace)

        created = agent.call("apply_patch", patch=diff("", text, path="new/a.txt", create=True))
        assert Path(folder, "new/a.txt").read_bytes() == text.encode()
        deleted = agent.call("apply_patch", patch=diff(text, "", path="new/a.txt", delete=True))

        assert not Path(folder, "new/a.txt").exists()
        assert created["files"][0]["action"] == "created"
        assert deleted == {"files": [{"path": "new/a.txt", "action": "deleted"}]}
        assert agent.landed("apply_patch", patch=diff(text, "", path="new/a.txt", delete=True)) == deleted


def test_several_files_are_changed_at_once(agent: Agent, root: Path, write: Callable[..., Path]) -> None:
    write("a.txt", "one\n")
    write("docs/计划.md", "eins\n")
    write("old.txt", "gone\n")
    seen(agent, "a.txt", "docs/计划.md", "old.txt")

    agent.call(
        "apply_patch",
        patch="diff --git a/a.txt b/a.txt\nindex 1..2 100644\n"
        + diff("one\n", "two\n")
        + diff("eins\n", "zwei\n", path="docs/计划.md")
        + diff("", "new\n", path="new.txt", create=True)
        + diff("gone\n", "", path="old.txt", delete=True),
    )

    assert (root / "a.txt").read_text() == "two\n"
    assert (root / "docs/计划.md").read_text() == "zwei\n"
    assert names(root) == ["a.txt", "docs", "new.txt"]
    agent.call("edit_file", path="a.txt", old_text="two", new_text="three")  # what a patch wrote has been seen


def test_one_hunk_that_does_not_fit_leaves_every_file_alone(
    agent: Agent, root: Path, write: Callable[..., Path]
) -> None:
    write("a.txt", "one\n")
    write("b.txt", "one\n")
    seen(agent, "a.txt", "b.txt")

    with pytest.raises(
        ToolError, match=r"b\.txt: Hunk 1 doesn't fit.*line 1 the file has 'one\\n', the patch 'uno\\n'"
    ):
        agent.call("apply_patch", patch=diff("one\n", "two\n") + diff("uno\n", "due\n", path="b.txt"))

    assert (root / "a.txt").read_text() == (root / "b.txt").read_text() == "one\n"


@pytest.mark.parametrize("failing", [0, 1, 2, 3])
def test_a_disk_that_fails_in_between_leaves_every_file_as_it_was(
    agent: Agent, root: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    for name in ("a.txt", "b.txt", "old.txt"):
        write(name, "one\n")
    seen(agent, "a.txt", "b.txt", "old.txt")
    fail_at(failing, monkeypatch)

    with pytest.raises(ToolError, match="The disk failed"):
        agent.call("apply_patch", patch=four_files())

    assert names(root) == ["a.txt", "b.txt", "old.txt"]
    assert [(root / name).read_text() for name in names(root)] == ["one\n"] * 3


@pytest.mark.parametrize("killed", [1, 2, 3])
def test_a_patch_that_was_cut_off_is_finished_when_it_is_called_again(
    agent: Agent, root: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    for name in ("a.txt", "b.txt", "old.txt"):
        write(name, "one\n")
    seen(agent, "a.txt", "b.txt", "old.txt")
    with monkeypatch.context() as dying:
        dying.setattr("runs.tools.patching.Change.take_back", lambda *_: None)  # the dead put nothing back
        fail_at(killed, dying)
        with pytest.raises(ToolError):
            agent.call("apply_patch", patch=four_files())
    assert agent.landed("apply_patch", patch=four_files()) is None

    agent.call("apply_patch", patch=four_files())

    assert names(root) == ["a.txt", "b.txt", "new.txt"]
    assert [(root / name).read_text() for name in names(root)] == ["two\n", "two\n", "new\n"]


def four_files() -> str:
    return (
        diff("one\n", "two\n")
        + diff("one\n", "", path="old.txt", delete=True)
        + diff("", "new\n", path="new.txt", create=True)
        + diff("one\n", "two\n", path="b.txt")
    )


def fail_at(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the write or deletion of that number fail, and those that put things back succeed."""
    left = [failing]

    def failing_now(method: Any) -> Any:
        def call(self: Workspace, path: str, *arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == -1:
                raise ToolError(f"The disk failed on {path}")
            return method(self, path, *arguments, **options)

        return call

    for name in ("write", "delete"):
        monkeypatch.setattr(Workspace, name, failing_now(getattr(Workspace, name)))


def test_what_was_not_read_is_neither_changed_nor_deleted(agent: Agent, write: Callable[..., Path]) -> None:
    file = write("a.txt", "one\n")

    for patch in (diff("one\n", "two\n"), diff("one\n", "", delete=True)):
        with pytest.raises(ToolError, match="you have not read it in this run"):
            agent.call("apply_patch", patch=patch)
    seen(agent, "a.txt")
    file.write_text("one\n# somebody else's\n")
    with pytest.raises(ToolError, match="changed since you read it"):
        agent.call("apply_patch", patch=diff("one\n", "two\n"))

    assert file.read_text() == "one\n# somebody else's\n"


def test_a_wrong_line_number_is_mended_only_where_the_lines_occur_once(
    agent: Agent, write: Callable[..., Path]
) -> None:
    file = write("a.txt", "".join(f"{number}\n" for number in range(20)) + "same\nother\nsame\n")
    seen(agent, "a.txt")

    agent.call("apply_patch", patch="--- a.txt\n+++ a.txt\n@@ -3,2 +3,2 @@\n 10\n-11\n+eleven\n")
    assert "10\neleven\n12" in file.read_text()

    with pytest.raises(ToolError, match="occur more than once"):
        agent.call("apply_patch", patch="--- a.txt\n+++ a.txt\n@@ -3 +3 @@\n-same\n+different\n")
    agent.call("apply_patch", patch="--- a.txt\n+++ a.txt\n@@ -23 +23 @@\n-same\n+different\n")
    assert file.read_text().endswith("same\nother\ndifferent\n")


def test_line_ends_of_a_file_are_kept(agent: Agent, write: Callable[..., Path]) -> None:
    file = write("a.txt", "one\r\ntwo\r\nthree")
    seen(agent, "a.txt")
    mixed = write("b.txt", "one\r\ntwo\n")
    seen(agent, "b.txt")

    with pytest.raises(ToolError, match=r"Line 1 of the file ends in '\\r\\n'"):
        agent.call("apply_patch", patch=diff("one\ntwo\n", "uno\ntwo\n", path="b.txt"))
    assert mixed.read_bytes() == b"one\r\ntwo\n"

    file.write_bytes(b"one\r\ntwo\r\n")
    seen(agent, "a.txt")
    agent.call("apply_patch", patch=diff("one\ntwo\n", "one\nzwei\ndrei\n"))
    assert file.read_bytes() == b"one\r\nzwei\r\ndrei\r\n"


def test_hunks_alone_are_for_the_file_that_is_named(agent: Agent, write: Callable[..., Path]) -> None:
    file = write("a.txt", "one\n\ntwo\n")
    seen(agent, "a.txt")

    agent.call("apply_patch", path="a.txt", patch="@@ -1,3 +1,3 @@\n one\n\n-two\n+three\n")

    assert file.read_text() == "one\n\nthree\n"


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ("", "Invalid tool arguments"),
        ("change it please", "line 1: expected '--- a/path'"),
        ("@@ -1 +1 @@\n-one\n+two\n", "line 1: expected '--- a/path'"),
        ("--- a.txt\n@@ -1 +1 @@\n-one\n+two\n", r"line 2: expected '\+\+\+ b/path'"),
        ("--- a.txt\n+++ a.txt\n", "line 3: expected a hunk of a.txt"),
        ("--- a.txt\n+++ a.txt\n@@ ... @@\n-one\n+two\n", "line 3: a hunk begins with"),
        (
            "--- a.txt\n+++ a.txt\n@@ -1,2 +1,2 @@\n-one\n+two\n",
            "says it has 2 old and 2 new lines, but only 1 old and 1 new",
        ),
        (
            "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-one\n+two\n+three\n",
            "line 6: hunk 1 says it has 1 old and 1 new lines, but more",
        ),
        ("--- a.txt\n+++ b.txt\n@@ -1 +1 @@\n-one\n+two\n", "can't be renamed"),
        ('--- "a/\\350.txt"\n+++ "b/\\350.txt"\n@@ -1 +1 @@\n-one\n+two\n', "line 1: write the path plainly"),
        ("diff --git a/a.txt b/b.txt\nrename from a.txt\n", "Renames, modes and binary changes are not supported"),
        ("diff --git a/a b/a\nnew file mode 100644\nindex 0..1\n", "line 1: nothing follows"),
        ("diff --git a/a b/a\nindex 0..1\ndiff --git a/b b/b\nindex 0..1\n", "line 1: nothing follows"),
        ("--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-one\n+two\n", "one of the two names"),
        ("--- no.txt\n+++ no.txt\n@@ -1 +1 @@\n-one\n+two\n", "No such file or folder: no.txt. To create it"),
        ("--- /dev/null\n+++ a.txt\n@@ -0,0 +1 @@\n+two\n", "a.txt exists already"),
        ("--- a.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-one\n", "would be left"),
        ("--- a.txt\n+++ a.txt\n@@ -9,0 +9 @@\n+two\n", "with none around them"),
        ("--- a.txt\n+++ a.txt\n@@ -2 +2 @@\n-last\n+two\n", "has no end: write"),
        ("--- a.txt\n+++ a.txt\n@@ -2,0 +3 @@\n+two\n", "with none around them"),
        (
            "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-one\n+two\n\\ No newline at end of file\n",
            "without an end in the middle",
        ),
        (
            "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-one\n+two\n--- a.txt\n+++ a.txt\n@@ -2 +2 @@\n-one\n+two\n",
            "more than once",
        ),
        ("--- ../x\n+++ ../x\n@@ -1 +1 @@\n-one\n+two\n", "Path escapes working directory"),
        ("--- /dev/null\n+++ /etc/x\n@@ -0,0 +1 @@\n+two\n", "Path escapes working directory"),
        ("--- /dev/null\n+++ b/conftest.py\n@@ -0,0 +1 @@\n+two\n", "programs obey"),
        ("--- a/.env\n+++ /dev/null\n@@ -1 +0,0 @@\n-KEY\n", "private"),
        ("--- link\n+++ link\n@@ -1 +1 @@\n-canary\n+two\n", "Path escapes working directory"),
        ("".join(f"--- /dev/null\n+++ {number}\n@@ -0,0 +1 @@\n+x\n" for number in range(26)), "more than 25 files"),
    ],
)
def test_what_is_not_understood_or_not_allowed_is_refused(
    agent: Agent, root: Path, write: Callable[..., Path], patch: str, message: str
) -> None:
    write("a.txt", "one\nlast")
    (root / "link").symlink_to(root.parent / "outside" / "secret.txt")
    seen(agent, "a.txt")

    with pytest.raises(ToolError, match=message):
        agent.call("apply_patch", patch=patch)

    assert names(root) == ["a.txt", "link"]
    assert (root / "a.txt").read_text() == "one\nlast"


def test_a_patch_over_the_quota_changes_nothing(root: Path) -> None:
    (root / "a.txt").write_text("one\n")
    agent = seen(Agent(open_at(root, total_bytes=50)), "a.txt")

    with pytest.raises(ToolError, match="Over quota"):
        agent.call("apply_patch", patch=diff("one\n", "two\n") + diff("", "x" * 60, path="new.txt", create=True))

    assert (root / "a.txt").read_text() == "one\n"
    assert names(root) == ["a.txt"]


def test_a_patch_of_a_run_that_is_over_is_not_applied(agent: Agent, root: Path) -> None:
    agent.stop.set("cancelled")

    with pytest.raises(Stopped):
        agent.call("apply_patch", patch=diff("", "x\n", create=True))

    assert names(root) == []
