"""Listing, globbing and searching, as an agent does it."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.stop import Stopped
from runs.tools import grep, results
from runs.tools.globs import compile_glob
from runs.tools.registry import ToolError

from .conftest import Agent, open_at

Write = Callable[..., Path]


def test_a_folder_is_listed(agent: Agent, write: Write) -> None:
    write("docs/plan.md", "x" * 7)
    write("docs/drafts/one.md", "x")
    write("docs/.gitignore", "x")

    assert agent.call("list_files", path="docs/") == {
        "path": "docs",
        "entries": [
            {"name": ".gitignore", "type": "file", "size": 1},
            {"name": "drafts", "type": "directory", "size": 0},
            {"name": "plan.md", "type": "file", "size": 7},
        ],
        "truncated": False,
    }


def test_a_large_folder_is_listed_in_part(agent: Agent, write: Write) -> None:
    for number in range(501):
        write(f"{number:03}.txt")

    result = agent.call("list_files")

    assert result["truncated"] is True
    assert result["entries"][0]["name"] == "000.txt"
    assert results.json_size(result) <= results.MAX_BYTES


@pytest.mark.parametrize(("path", "message"), [("nothing", "No such file or folder"), ("a.txt", "Not a folder")])
def test_what_can_not_be_listed_is_explained(agent: Agent, write: Write, path: str, message: str) -> None:
    write("a.txt")

    with pytest.raises(ToolError, match=message):
        agent.call("list_files", path=path)


FILES = [
    "README.md",
    "docs/a.md",
    "docs/deep/b.md",
    "docs/deep/c.txt",
    "src/app.js",
    "src/lib/app.test.ts",
    "src/lib/[x].ts",
]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.md", ["README.md"]),
        ("./*.md", ["README.md"]),
        ("**/*.md", ["README.md", "docs/a.md", "docs/deep/b.md"]),
        ("docs/**", ["docs/a.md", "docs/deep/b.md", "docs/deep/c.txt"]),
        ("docs/**/*.md", ["docs/a.md", "docs/deep/b.md"]),
        ("docs/*/*.md", ["docs/deep/b.md"]),
        ("**/deep/*", ["docs/deep/b.md", "docs/deep/c.txt"]),
        ("**/[ab].md", ["docs/a.md", "docs/deep/b.md"]),
        ("**/[!a].md", ["docs/deep/b.md"]),
        ("**/?.md", ["docs/a.md", "docs/deep/b.md"]),
        ("**/*.{js,ts}", ["src/app.js", "src/lib/[x].ts", "src/lib/app.test.ts"]),
        ("{docs,src}/*", ["docs/a.md", "src/app.js"]),
        ("src/lib/[[]x].ts", ["src/lib/[x].ts"]),
        ("**/nothing*", []),
        ("docs", []),
    ],
)
def test_files_are_found_by_pattern(agent: Agent, write: Write, pattern: str, found: list[str]) -> None:
    for path in FILES:
        write(path)

    assert agent.call("glob_files", pattern=pattern) == {"files": found, "truncated": False}


def test_a_pattern_is_relative_to_its_folder_and_what_is_found_is_not(agent: Agent, write: Write) -> None:
    for path in FILES:
        write(path)

    assert agent.call("glob_files", pattern="*.md", cwd="docs/deep")["files"] == ["docs/deep/b.md"]


def test_at_most_500_files_are_found(agent: Agent, write: Write) -> None:
    for number in range(501):
        write(f"{number:03}.txt")

    result = agent.call("glob_files", pattern="**/*.txt")

    assert (len(result["files"]), result["truncated"]) == (500, True)


def test_a_pattern_without_a_meaning_is_refused(agent: Agent) -> None:
    with pytest.raises(ToolError, match="Invalid pattern"):
        agent.call("glob_files", pattern="[z-a]")


@settings(max_examples=300)
@given(
    pattern=st.lists(
        st.sampled_from(["**", "*", "a", "b*", "?", "*a*", "[ab]", "[!a]", "**b"]), min_size=1, max_size=4
    ),
    path=st.lists(st.text(alphabet="ab", min_size=1, max_size=3), min_size=1, max_size=4),
)
def test_a_glob_means_what_a_shell_means_by_it(pattern: list[str], path: list[str]) -> None:
    matched = compile_glob("/".join(pattern)).fullmatch("/".join(path)) is not None

    assert matched == _matches(pattern, path)


def _matches(pattern: list[str], path: list[str]) -> bool:
    """The definition of globstar, name by name."""
    match pattern:
        case []:
            return not path
        case ["**"]:
            return bool(path)
        case ["**", *rest]:
            return any(_matches(rest, path[skipped:]) for skipped in range(len(path) + 1))
        case [name, *rest]:
            return bool(path) and fnmatch.fnmatchcase(path[0], name) and _matches(rest, path[1:])
    raise AssertionError(pattern)


def test_text_is_found_with_its_file_and_line(agent: Agent, write: Write) -> None:
    write("b.md", "nothing\nThe Answer is 42\r\n")
    write("a/c.py", "answer = 42\n\n# the answer\n")
    write("logo.png", b"\0answer")

    assert agent.call("grep_files", pattern=r"answer\b") == {
        "matches": [
            {"path": "a/c.py", "line": 1, "text": "answer = 42"},
            {"path": "a/c.py", "line": 3, "text": "# the answer"},
            {"path": "b.md", "line": 2, "text": "The Answer is 42"},
        ],
        "total": 3,
        "files_with_matches": 2,
        "files_searched": 2,
        "truncated": False,
    }


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"pattern": "answer", "ignore_case": False}, [2]),
        ({"pattern": "a.c"}, [3, 4]),
        ({"pattern": "a.c", "fixed": True}, [3]),
        ({"pattern": "^$"}, [5]),
        ({"pattern": "^ANSWER$"}, [1, 2]),
        ({"pattern": r"\Aabc\z"}, [4]),
        ({"pattern": "(?-i)ANSWER"}, [1]),
        ({"pattern": "第.步"}, [6]),
        ({"pattern": r"^\p{Han}+$"}, [6]),
        ({"pattern": "第一步", "fixed": True}, [6]),
        ({"pattern": "c\na"}, []),
    ],
)
def test_how_text_is_searched_for(agent: Agent, write: Write, options: dict[str, object], lines: list[int]) -> None:
    write("a.txt", "\ufeffANSWER\r\nanswer\r\na.c\r\nabc\r\n\r\n第一步\r\n")

    assert [match["line"] for match in agent.call("grep_files", **options)["matches"]] == lines


def test_the_search_can_be_narrowed(agent: Agent, write: Write) -> None:
    for path in FILES:
        write(path, "needle")

    def found(**options: str) -> list[str]:
        return [match["path"] for match in agent.call("grep_files", pattern="needle", **options)["matches"]]

    assert found(include="*.md") == ["README.md", "docs/a.md", "docs/deep/b.md"]
    assert found(include="docs/*.md") == ["docs/a.md"]
    assert found(path="src", include="*.{js,ts}") == ["src/app.js", "src/lib/[x].ts", "src/lib/app.test.ts"]
    assert found(path="docs/a.md") == ["docs/a.md"]
    with pytest.raises(ToolError, match="No such file"):
        found(path="nowhere")


def test_all_matches_are_counted_though_not_all_are_returned(agent: Agent, write: Write) -> None:
    write("a.txt", "needle\n" * 100)
    write("b.txt", "needle\n" * 20)

    result = agent.call("grep_files", pattern="needle", max_results=3)

    assert [match["line"] for match in result["matches"]] == [1, 2, 3]
    assert (result["total"], result["files_with_matches"], result["truncated"]) == (120, 2, True)


def test_a_long_line_is_shown_around_its_match(agent: Agent, write: Write) -> None:
    write("min.js", "界" * 5000 + "needle" + "y" * 20_000)

    (match,) = agent.call("grep_files", pattern="needle")["matches"]

    assert "needle" in match["text"]
    assert match["text"].startswith("…界")
    assert match["text"].endswith("y…")
    assert len(match["text"]) < 250


def test_a_search_that_finds_much_still_fits(agent: Agent, write: Write) -> None:
    write("a.txt", ("needle" + "针" * 200 + "\n") * 300)

    result = agent.call("grep_files", pattern="needle", max_results=200)

    assert results.json_size(result) <= results.MAX_BYTES
    assert result["total"] == 300
    assert result["cut"], "what was left out is said"


CATASTROPHES = [
    r"(a+)+$",
    r"(a|aa)+$",
    r"(a|a?)+$",
    r"(.*a){12}b",
    r"([a-z]+)*!",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"((a{0,20}){0,20}b?)c",
    r"(x+x+)+y",
]


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_no_pattern_takes_exponential_time(agent: Agent, write: Write, pattern: str) -> None:
    write("a.txt", ("a" * 5000 + "X\n") * 40)
    write("b.txt", "a" * 500_000)
    began = time.monotonic()

    agent.call("grep_files", pattern=pattern)

    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        "[a",
        r"(a)\1",
        "(?=a)",
        "(?<!a)b",
        "a{2000}",
        "(a{1000}){1000}",
        "(a{0,30}){0,30}" * 9,
        "(([a-z]{0,30}){0,33}.?)#",
        "*",
    ],
)
def test_a_pattern_that_can_not_be_searched_for_is_explained(agent: Agent, pattern: str) -> None:
    with pytest.raises(ToolError, match=r"Invalid pattern: .*fixed"):
        agent.call("grep_files", pattern=pattern)

    assert agent.call("grep_files", pattern=pattern, fixed=True)["total"] == 0


def test_a_search_ends_when_its_time_is_up(agent: Agent, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        write(f"{number:02}.txt", "needle\n" * 20_000)
    monkeypatch.setattr(grep, "SECONDS", 0.05)
    began = time.monotonic()

    result = agent.call("grep_files", pattern="needle")

    assert time.monotonic() - began < 2
    assert result["truncated"] is True
    assert 0 < result["files_searched"] < 50


def test_a_search_ends_when_the_run_does(agent: Agent, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        write(f"{number}.txt", "needle")
    read = agent.workspace.read

    def read_and_cancel(path: str) -> bytes:
        agent.stop.set("cancelled")
        return read(path)

    monkeypatch.setattr(agent.workspace, "read", read_and_cancel)

    with pytest.raises(Stopped):
        agent.call("grep_files", pattern="needle")


@settings(max_examples=60)
@given(
    text=st.lists(st.sampled_from(["needle", "hay", "Needle", "\n", "\r\n", "x" * 70, " "]), max_size=60),
    block=st.integers(1, 200),
)
def test_every_line_is_searched_once_whatever_the_blocks(text: list[str], block: int) -> None:
    content = "".join(text)
    expected = [number for number, line in enumerate(content.split("\n"), 1) if "needle" in line.lower()]

    with TemporaryDirectory() as folder, open_at(Path(folder)) as workspace, pytest.MonkeyPatch.context() as patch:
        Path(folder, "a.txt").write_bytes(content.encode())
        patch.setattr(grep, "_BLOCK", max(block, 6))
        patch.setattr(grep, "_LONGEST", 1000)
        result = Agent(workspace).call("grep_files", pattern="needle", max_results=200)

    assert [match["line"] for match in result["matches"]] == expected
    assert result["total"] == len(expected)
