"""Nothing an agent writes for a path leads out of its workspace, and nothing that lies in it leads there either."""

from __future__ import annotations

import ctypes
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.tools.paths import normalise
from runs.tools.registry import ToolError
from runs.tools.workspace import Workspace, open_workspace

from .conftest import CANARY, Agent, names, open_at

UseWorkDir = Callable[[Path], Path]

ESCAPES = [
    "../outside.txt",
    "../outside/secret.txt",
    "../orgA2/secret.txt",
    "a/../../outside/secret.txt",
    "a/./../..",
    "..",
    "./..",
    "/etc/passwd",
    "//etc/passwd",
    "~/.bashrc",
    "~root/x",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "http://example.com/x",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "..\\outside\\secret.txt",
    "./~",
    "./file:/etc/passwd",
    "a\\b",
    "%2e%2e/outside/secret.txt",
    "%2E%2E%2Foutside",
    "%252e%252e/outside",
    "a%2fb",
    "a%00b",
    "..%5coutside",
    "docs./x",
    "docs /x",
    " x",
    "x ",
    "x.",
    "...",
    "\uff0e\uff0e/outside/secret.txt",
    "\u2025/outside",
]

READS = [
    ("read_file", "path"),
    ("list_files", "path"),
    ("grep_files", "path"),
    ("glob_files", "cwd"),
]


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize(("tool", "argument"), READS)
def test_a_path_that_leads_out_is_refused_when_reading(agent: Agent, tool: str, argument: str, path: str) -> None:
    more = {"pattern": "canary"} if tool in ("grep_files", "glob_files") else {}

    with pytest.raises(ToolError, match="Path escapes working directory"):
        agent.call(tool, **{argument: path}, **more)


@pytest.mark.parametrize("path", ESCAPES)
def test_a_path_that_leads_out_is_refused_when_writing(agent: Agent, root: Path, path: str) -> None:
    before = sorted(root.parent.rglob("*"))

    with pytest.raises(ToolError, match="Path escapes working directory"):
        agent.call("write_file", path=path, content="x")
    with pytest.raises(ToolError, match="Path escapes working directory"):
        agent.call("edit_file", path=path, old_text="canary", new_text="x")

    assert sorted(root.parent.rglob("*")) == before


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "~/*", "a/../../*", "..\\*", "%2e%2e/*", "file:///*"])
def test_a_pattern_that_leads_out_is_refused(agent: Agent, pattern: str) -> None:
    with pytest.raises(ToolError, match="Path escapes working directory"):
        agent.call("glob_files", pattern=pattern)


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\u2028b", "a\u2029b", "a\rb"])
def test_a_name_that_could_forge_a_line_is_refused(agent: Agent, name: str) -> None:
    with pytest.raises(ToolError, match="control characters"):
        agent.call("write_file", path=name, content="x")


def test_a_path_is_refused_when_it_is_too_long_or_too_deep(agent: Agent) -> None:
    with pytest.raises(ToolError, match="too long"):
        agent.call("write_file", path="/".join("abcdefgh" * 5), content="x")
    with pytest.raises(ToolError, match="255 bytes"):
        agent.call("write_file", path="长" * 100, content="x")
    with pytest.raises(ToolError, match="at most 1024"):
        agent.call("write_file", path="x" * 1025, content="x")


@given(st.text(alphabet="./~\\%2eab \u00e9\uff0e", max_size=12))
def test_a_normal_path_stays_below_and_is_its_own_normal_form(path: str) -> None:
    try:
        normal = normalise(path)
    except ToolError:
        return

    assert normal == normalise(normal)
    assert normal == "." or not {"", ".", ".."} & set(normal.split("/"))
    assert Path("/workspace", path).resolve() == Path("/workspace", normal)


def _file_link(root: Path) -> str:
    (root / "link.txt").symlink_to(root.parent / "outside" / "secret.txt")
    return "link.txt"


def _folder_link(root: Path) -> str:
    (root / "folder").symlink_to(root.parent / "outside")
    return "folder/secret.txt"


def _link_within(root: Path) -> str:
    (root / "real.txt").write_text(CANARY)
    (root / "link.txt").symlink_to("real.txt")
    return "link.txt"


def _magic_link(root: Path) -> str:
    (root / "proc").symlink_to("/proc/self/root")
    return f"proc{root.parent}/outside/secret.txt"


def _loop(root: Path) -> str:
    (root / "loop").symlink_to("loop")
    return "loop"


def _hard_link(root: Path) -> str:
    os.link(root.parent / "outside" / "secret.txt", root / "hard.txt")
    return "hard.txt"


@pytest.mark.parametrize("lay", [_file_link, _folder_link, _link_within, _magic_link, _loop, _hard_link])
def test_no_link_is_followed(agent: Agent, root: Path, opener: str, lay: Callable[[Path], str]) -> None:
    path = lay(root)

    for attempt in (
        lambda: agent.call("read_file", path=path),
        lambda: agent.call("write_file", path=path, content="overwritten"),
        lambda: agent.call("edit_file", path=path, old_text="canary", new_text="x"),
    ):
        with pytest.raises(ToolError, match="Path escapes working directory"):
            attempt()
    assert (root.parent / "outside" / "secret.txt").read_text() == CANARY


@pytest.mark.parametrize("lay", [_file_link, _folder_link, _magic_link, _loop, _hard_link])
def test_links_are_neither_listed_nor_searched(
    agent: Agent, root: Path, opener: str, lay: Callable[[Path], str]
) -> None:
    lay(root)

    assert agent.call("list_files")["entries"] == []
    assert agent.call("glob_files", pattern="**")["files"] == []
    assert agent.call("grep_files", pattern="canary")["total"] == 0


def test_a_folder_that_is_a_link_can_not_be_written_through(agent: Agent, root: Path, opener: str) -> None:
    (root / "folder").symlink_to(root.parent / "outside")

    with pytest.raises(ToolError, match="Path escapes working directory"):
        agent.call("write_file", path="folder/new.txt", content="x")

    assert names(root.parent / "outside") == ["secret.txt"]


def test_a_pipe_is_no_file_and_nobody_waits_for_it(agent: Agent, root: Path, opener: str) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(ToolError, match="Not a plain file"):
        agent.call("read_file", path="pipe")
    with pytest.raises(ToolError, match="Not a plain file"):
        agent.call("write_file", path="pipe", content="x")


def _exchange(one: Path, other: Path) -> None:
    """Swap two names in one moment (renameat2 with RENAME_EXCHANGE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def test_a_folder_swapped_for_a_link_meanwhile_is_never_followed(agent: Agent, root: Path, opener: str) -> None:
    """A second thread keeps swapping the folder and a link that leads out, while files are read and written."""
    folder, link = root / "folder", root / "decoy"
    folder.mkdir()
    (folder / "secret.txt").write_text("harmless")
    link.symlink_to(root.parent / "outside")
    over, flips = threading.Event(), 0

    def flip() -> None:
        nonlocal flips
        while not over.is_set():
            _exchange(folder, link)
            flips += 1

    swapper = threading.Thread(target=flip)
    swapper.start()
    read, refused, deadline = set(), 0, time.monotonic() + 3
    try:
        while time.monotonic() < deadline:
            try:
                read.add(agent.workspace.read("folder/secret.txt"))
                agent.workspace.write("folder/new.txt", b"x", durable=False)
            except ToolError as error:
                refused += "Path escapes working directory" in str(error)
    finally:
        over.set()
        swapper.join()

    assert read == {b"harmless"}
    assert refused > 0, "the swap was never noticed: the test raced nothing"
    assert flips > 100
    assert names(root.parent / "outside") == ["secret.txt"]


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.production",
        ".ENV",
        "app/.env",
        ".envrc",
        ".git/config",
        "repo/.GIT/hooks/pre-commit",
        ".ssh/id_ed25519",
        "id_rsa",
        ".netrc",
        ".pgpass",
        ".openintern-0123",
    ],
)
def test_private_files_do_not_exist_for_agents(agent: Agent, write: Callable[..., Path], path: str) -> None:
    write(path, "token = canary")

    with pytest.raises(ToolError, match="private"):
        agent.call("read_file", path=path)
    with pytest.raises(ToolError, match=r"private|obey"):
        agent.call("write_file", path=path, content="x")
    assert agent.call("grep_files", pattern="canary")["total"] == 0
    assert agent.call("glob_files", pattern="**")["files"] == []


def test_an_example_of_a_private_file_can_be_read(agent: Agent, write: Callable[..., Path]) -> None:
    write(".env.example", "TOKEN=")

    assert agent.call("read_file", path=".env.example")["content"] == "TOKEN="


@pytest.mark.parametrize(
    "path",
    [
        "site.pth",
        "a/evil.PTH",
        "conftest.py",
        "tests/conftest.py",
        "sitecustomize.py",
        ".bashrc",
        ".github/workflows/ci.yml",
        "a/.hidden",
    ],
)
def test_names_that_programs_obey_by_themselves_are_not_written(agent: Agent, root: Path, path: str) -> None:
    with pytest.raises(ToolError, match="Refused"):
        agent.call("write_file", path=path, content="import os")

    assert list(root.rglob("*")) == []


def test_what_is_written_can_not_be_executed_nor_read_by_others(agent: Agent, root: Path) -> None:
    agent.call("write_file", path="tools/run.sh", content="#!/bin/sh\n")

    assert stat.S_IMODE((root / "tools/run.sh").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "tools").stat().st_mode) == 0o700


def test_replacing_an_executable_takes_its_bit(agent: Agent, write: Callable[..., Path]) -> None:
    script = write("run.sh", "#!/bin/sh\n")
    script.chmod(0o755)
    agent.call("read_file", path="run.sh")

    agent.call("edit_file", path="run.sh", old_text="/bin/sh", new_text="/bin/bash")

    assert stat.S_IMODE(script.stat().st_mode) == 0o600


@pytest.mark.parametrize("slug", ["..", ".", "", "a/b", "/etc", "A", "a\0", "~", "org_default/../x", "x" * 64])
def test_a_slug_that_is_no_plain_name_opens_no_workspace(slug: str) -> None:
    with pytest.raises(ValueError, match="not a slug"):
        open_workspace(org_slug=slug)


def test_a_project_can_not_pose_as_what_is_shared() -> None:
    with pytest.raises(ValueError, match="can't be called"):
        open_workspace(org_slug="acme", project_slug="shared")


def test_each_organisation_and_project_has_a_folder_of_its_own(tmp_path: Path, use_work_dir: UseWorkDir) -> None:
    work_dir = use_work_dir(tmp_path / "data" / "workspaces")

    with open_workspace(org_slug="acme") as shared, open_workspace(org_slug="acme", project_slug="apollo") as apollo:
        shared.write("a.txt", b"shared")

        assert apollo.entries() == []
        assert (work_dir / "acme/shared/a.txt").read_bytes() == b"shared"
        assert apollo.path == work_dir / "acme" / "apollo"
    assert stat.S_IMODE((work_dir / "acme").stat().st_mode) == 0o700


def test_an_organisation_whose_folder_is_a_link_has_no_workspace(tmp_path: Path, use_work_dir: UseWorkDir) -> None:
    work_dir = use_work_dir(tmp_path / "workspaces")
    work_dir.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (work_dir / "acme").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic links"):
        open_workspace(org_slug="acme")

    assert names(tmp_path / "elsewhere") == []


def test_a_workspace_leaves_no_descriptor_open(root: Path) -> None:
    before = len(names(Path("/proc/self/fd")))

    for _ in range(20):
        with open_at(root) as workspace:
            workspace.write("a/b.txt", b"x")
            workspace.read("a/b.txt")
            list(workspace.walk())
            with pytest.raises(ToolError):
                workspace.read("a")

    assert len(names(Path("/proc/self/fd"))) == before


def test_workspaces_keep_each_other_out(root: Path, workspace: Workspace) -> None:
    with open_at(root.parent / "orgA2") as other:
        assert other.read("secret.txt") == CANARY.encode()
        with pytest.raises(ToolError, match="No such file"):
            workspace.read("secret.txt")
