"""Reading, writing and editing, as an agent does it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.stop import Stopped
from runs.tools import results
from runs.tools.registry import ToolError

from .conftest import Agent, names, open_at

TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)


def sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def test_a_file_is_read_whole(agent: Agent, write: Callable[..., Path]) -> None:
    write("docs/plan.md", "# Plan\n第一步\nlast")

    assert agent.call("read_file", path="./docs//plan.md") == {
        "path": "docs/plan.md",
        "content": "# Plan\n第一步\nlast",
        "start_line": 1,
        "end_line": 3,
        "total_lines": 3,
        "truncated": False,
        "sha256": sha256("# Plan\n第一步\nlast"),
    }


def test_some_lines_of_a_file_are_read(agent: Agent, write: Callable[..., Path]) -> None:
    write("a.txt", "one\r\ntwo\r\nthree\r\n")

    result = agent.call("read_file", path="a.txt", start_line=2, end_line=2)

    assert (result["content"], result["start_line"], result["end_line"], result["truncated"]) == (
        "two\r\n",
        2,
        2,
        False,
    )
    assert agent.call("read_file", path="a.txt", start_line=2, end_line=99)["content"] == "two\r\nthree\r\n"


def test_an_empty_file_has_no_lines(agent: Agent, write: Callable[..., Path]) -> None:
    write("empty.txt")

    result = agent.call("read_file", path="empty.txt")

    assert (result["content"], result["end_line"], result["total_lines"], result["truncated"]) == ("", 0, 0, False)


@pytest.mark.parametrize("lines", [{"start_line": 4}, {"start_line": 2, "end_line": 1}])
def test_lines_that_are_not_there_are_an_error(agent: Agent, write: Callable[..., Path], lines: dict[str, int]) -> None:
    write("a.txt", "1\n2\n3\n")

    with pytest.raises(ToolError, match="has 3 lines"):
        agent.call("read_file", path="a.txt", **lines)


def test_bytes_that_are_no_text_are_replaced(agent: Agent, write: Callable[..., Path]) -> None:
    write("latin.txt", b"caf\xe9\n")

    assert agent.call("read_file", path="latin.txt")["content"] == "caf\ufffd\n"


def test_a_binary_file_is_not_read(agent: Agent, write: Callable[..., Path]) -> None:
    write("logo.png", b"\x89PNG\r\n\x1a\n\0\0\0")

    with pytest.raises(ToolError, match="not a text file"):
        agent.call("read_file", path="logo.png")


@pytest.mark.parametrize(
    ("path", "message"), [("nothing.txt", "No such file"), ("docs", "Is a folder"), ("a.txt/b", "Not a folder")]
)
def test_what_can_not_be_read_is_explained(agent: Agent, write: Callable[..., Path], path: str, message: str) -> None:
    write("docs/plan.md", "x")
    write("a.txt", "x")

    with pytest.raises(ToolError, match=message):
        agent.call("read_file", path=path)


def test_a_long_file_is_read_in_parts_that_join_to_the_whole(agent: Agent, write: Callable[..., Path]) -> None:
    text = "".join(f'{number}: "quoted"\t一二三\n' for number in range(5000))
    write("long.txt", text)

    parts, start, truncated = [], 1, True
    while truncated:
        part = agent.call("read_file", path="long.txt", start_line=start)
        parts.append(part["content"])
        start, truncated = part["end_line"] + 1, part["truncated"]
        assert "cut" not in part
        assert results.json_size(part) <= results.MAX_BYTES

    assert "".join(parts) == text
    assert len(parts) > 3


def test_a_line_too_long_by_itself_is_cut_and_said_to_be(agent: Agent, write: Callable[..., Path]) -> None:
    write("one_line.json", "\x01" * 100_000 + "\nnext\n")

    result = agent.call("read_file", path="one_line.json")

    assert (result["end_line"], result["total_lines"], result["truncated"]) == (1, 2, True)
    assert results.json_size(result) <= results.MAX_BYTES
    assert "cut" not in result


@given(text=TEXT)
def test_what_is_written_is_read_back(text: str) -> None:
    with TemporaryDirectory() as folder, open_at(Path(folder)) as workspace:
        agent = Agent(workspace)
        written = agent.call("write_file", path="a/b.txt", content=text)

        read = agent.call("read_file", path="a/b.txt")

    assert read["content"] == text
    assert written == {"path": "a/b.txt", "bytes": len(text.encode()), "created": True, "sha256": read["sha256"]}


def test_an_existing_file_is_not_overwritten_unread(agent: Agent, write: Callable[..., Path]) -> None:
    file = write("a.txt", "precious")

    with pytest.raises(ToolError, match="you have not read it in this run"):
        agent.call("write_file", path="a.txt", content="x")
    with pytest.raises(ToolError, match="you have not read it in this run"):
        agent.call("edit_file", path="a.txt", old_text="precious", new_text="x")

    assert file.read_text() == "precious"


def test_a_file_that_changed_since_it_was_read_is_not_overwritten(agent: Agent, write: Callable[..., Path]) -> None:
    write("a.txt", "one")
    agent.call("read_file", path="a.txt")
    file = write("a.txt", "two")

    with pytest.raises(ToolError, match="changed since you read it"):
        agent.call("write_file", path="./a.txt", content="x")
    with pytest.raises(ToolError, match="changed since you read it"):
        agent.call("edit_file", path="a.txt", old_text="two", new_text="x")

    assert file.read_text() == "two"


def test_a_file_that_was_read_or_written_can_be_changed(agent: Agent, root: Path) -> None:
    agent.call("write_file", path="a.txt", content="one")

    assert agent.call("write_file", path="a.txt", content="two")["created"] is False
    assert agent.call("edit_file", path="a.txt", old_text="two", new_text="three") == {
        "path": "a.txt",
        "replacements": 1,
        "sha256": sha256("three"),
    }
    assert (root / "a.txt").read_text() == "three"


@settings(max_examples=200)
@given(
    before=st.text(alphabet="ab\n", max_size=30),
    old=st.text(alphabet="ab\n", min_size=1, max_size=4),
    new=st.text(alphabet="abc\n", max_size=4),
    replace_all=st.booleans(),
)
def test_an_edit_is_exact_or_refused_and_never_made_twice(
    before: str, old: str, new: str, *, replace_all: bool
) -> None:
    """Also when a crash hides the result: whether it landed can be told, or trying again is refused."""
    edit = {"path": "a.txt", "old_text": old, "new_text": new, "replace_all": replace_all}
    with TemporaryDirectory() as folder, open_at(Path(folder)) as workspace:
        file = Path(folder, "a.txt")
        file.write_bytes(before.encode())
        agent = Agent(workspace)
        agent.call("read_file", path="a.txt")
        seen_before = dict(agent.seen)
        try:
            result = agent.call("edit_file", **edit)
        except ToolError:
            assert old == new or before.count(old) == 0 or (before.count(old) > 1 and not replace_all)
            assert file.read_bytes() == before.encode()
            return

        after = before.replace(old, new)
        assert file.read_bytes() == after.encode()
        assert result == {"path": "a.txt", "replacements": before.count(old), "sha256": sha256(after)}

        agent.seen = seen_before  # the worker died before it could tell
        landed = agent.landed("edit_file", **edit)
        if landed is None:
            with pytest.raises(ToolError, match="changed since"):
                agent.call("edit_file", **edit)
        else:
            assert landed["sha256"] == result["sha256"]
        assert file.read_bytes() == after.encode()


def test_an_edit_that_would_not_be_unique_says_how_often(agent: Agent) -> None:
    agent.call("write_file", path="a.txt", content="x = 1\nx = 1\n")

    with pytest.raises(ToolError, match="occurs 2 times"):
        agent.call("edit_file", path="a.txt", old_text="x = 1", new_text="x = 2")

    assert (
        agent.call("edit_file", path="a.txt", old_text="x = 1", new_text="x = 2", replace_all=True)["replacements"] == 2
    )


def test_an_edit_that_misses_the_line_ends_is_told_of_them(agent: Agent, write: Callable[..., Path]) -> None:
    write("dos.txt", "one\r\ntwo\r\n")
    agent.call("read_file", path="dos.txt")

    with pytest.raises(ToolError, match=r"lines end in \\r\\n"):
        agent.call("edit_file", path="dos.txt", old_text="one\ntwo", new_text="x")


def test_an_edit_leaves_the_bytes_around_it_alone(agent: Agent, write: Callable[..., Path]) -> None:
    file = write("mixed.txt", b"\xef\xbb\xbfcaf\xe9\r\nname\n")
    agent.call("read_file", path="mixed.txt")

    agent.call("edit_file", path="mixed.txt", old_text="name", new_text="名")

    assert file.read_bytes() == b"\xef\xbb\xbfcaf\xe9\r\n" + "名\n".encode()


def test_whether_a_write_landed_can_be_told(agent: Agent, root: Path) -> None:
    arguments = {"path": "a.txt", "content": "done"}
    assert agent.landed("write_file", **arguments) is None

    (root / "a.txt").write_text("done")

    assert agent.landed("write_file", **arguments) == {
        "path": "a.txt",
        "bytes": 4,
        "created": True,
        "sha256": sha256("done"),
    }


def test_whether_an_overwrite_landed_can_be_told(agent: Agent) -> None:
    agent.call("write_file", path="a.txt", content="old")
    assert agent.landed("write_file", path="a.txt", content="new") is None
    seen = dict(agent.seen)
    agent.call("write_file", path="a.txt", content="new")

    agent.seen = seen

    assert agent.landed("write_file", path="a.txt", content="new") == {
        "path": "a.txt",
        "bytes": 3,
        "created": False,
        "sha256": sha256("new"),
    }


def test_an_edit_that_did_not_land_is_said_not_to_have(agent: Agent) -> None:
    agent.call("write_file", path="a.txt", content="one two")

    assert agent.landed("edit_file", path="a.txt", old_text="one", new_text="two") is None


def test_a_refused_call_is_said_not_to_have_landed(agent: Agent) -> None:
    assert agent.landed("write_file", path="../x", content="x") is None


def test_writing_what_is_there_already_changes_nothing(agent: Agent, write: Callable[..., Path]) -> None:
    file = write("a.txt", "same")
    before = file.stat().st_ino

    assert agent.call("write_file", path="a.txt", content="same")["created"] is False
    assert file.stat().st_ino == before


def test_a_folder_in_the_way_is_an_error(agent: Agent, root: Path) -> None:
    (root / "docs").mkdir()
    (root / "a.txt").write_text("x")

    with pytest.raises(ToolError, match="Is a folder"):
        agent.call("write_file", path="docs", content="x")
    with pytest.raises(ToolError, match="Not a folder"):
        agent.call("write_file", path="a.txt/b.txt", content="x")


def test_a_run_that_is_over_calls_nothing(agent: Agent, root: Path) -> None:
    agent.stop.set("cancelled")

    with pytest.raises(Stopped):
        agent.call("write_file", path="a.txt", content="x")

    assert names(root) == []


def test_a_result_is_what_json_carries(agent: Agent, write: Callable[..., Path]) -> None:
    write("odd.txt", "\u2028\x7f\x1b[31m</script>\n")

    result = agent.call("read_file", path="odd.txt")

    assert json.loads(json.dumps(result)) == result
