"""Putting people's files where agents can work on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from openintern.tenancy import people
from runs.tools.importing import Copied, copy_in
from runs.tools.workspace import Workspace
from tests.conftest import Person

from .conftest import open_at


def lay(folder: Path, *paths: str, content: str = "x") -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)


def paths(workspace: Workspace) -> list[str]:
    return [entry.path for entry in workspace.walk()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a person keeps their things."""
    home = tmp_path / "home"
    home.mkdir()
    return home


def test_files_and_folders_are_copied_under_their_own_names(workspace: Workspace, home: Path) -> None:
    lay(home, "app/src/main.py", "app/README.md", "notes.txt")

    copied = copy_in(workspace, [home / "app", home / "notes.txt"])

    assert paths(workspace) == ["app/README.md", "app/src/main.py", "notes.txt"]
    assert copied == Copied(files=3, bytes=3)


def test_the_folder_one_stands_in_is_copied_under_its_name(
    workspace: Workspace, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(home, "a.txt")
    monkeypatch.chdir(home)

    copy_in(workspace, [Path()])

    assert paths(workspace) == ["home/a.txt"]


def test_copying_again_takes_the_newer_content(workspace: Workspace, home: Path) -> None:
    lay(home, "a.txt", content="old")
    copy_in(workspace, [home / "a.txt"])
    lay(home, "a.txt", content="new")

    copy_in(workspace, [home / "a.txt"])

    assert workspace.read("a.txt") == b"new"


def test_what_agents_have_no_use_for_is_left_out_and_told(workspace: Workspace, home: Path) -> None:
    lay(
        home / "app",
        "main.py",
        ".gitignore",
        ".env",
        ".env.example",
        ".git/config",
        "node_modules/left-pad/index.js",
        ".venv/bin/python",
        "env/pyvenv.cfg",
        "__pycache__/main.pyc",
        "target/CACHEDIR.TAG",
        "data/secret_key",
        "bad \\ name.txt",
    )
    (home / "app" / "link.py").symlink_to("main.py")
    os.mkfifo(home / "app" / "pipe")
    (home / "app" / "video.bin").write_bytes(b"\0" * (1024 * 1024 + 1))
    (home / "app" / "logo.png").write_bytes(b"\0" * 1000)

    copied = copy_in(workspace, [home / "app"], except_in=[home / "app" / "data"])

    assert paths(workspace) == ["app/.env.example", "app/.gitignore", "app/logo.png", "app/main.py"]
    reasons = {skipped.path.removeprefix("app/"): skipped.reason for skipped in copied.skipped}
    assert reasons.pop("bad \\ name.txt").startswith("Path escapes working directory")
    assert "private" in reasons.pop(".env")
    assert reasons == {
        ".git": "version control",
        ".venv": "virtual environment",
        "__pycache__": "cache",
        "data": "this server's own data",
        "env": "virtual environment",
        "link.py": "a link",
        "node_modules": "installed packages",
        "pipe": "not a plain file",
        "target": "cache",
        "video.bin": "not text, and larger than 1,048,576 bytes",
    }


def test_a_name_that_is_not_utf8_is_skipped(workspace: Workspace, home: Path) -> None:
    (Path(os.fsdecode(os.fsencode(home) + b"/caf\xe9.txt"))).write_text("x")

    copied = copy_in(workspace, [home])

    assert [skipped.reason for skipped in copied.skipped] == ["its name is not UTF-8"]


def test_what_exceeds_the_quota_is_told_and_the_rest_copied(root: Path, home: Path) -> None:
    lay(home, "a.txt", "c.txt", content="x" * 40)
    lay(home, "b.txt", content="x" * 90)
    with open_at(root, total_bytes=100) as workspace:
        copied = copy_in(workspace, [home])

        assert paths(workspace) == ["home/a.txt", "home/c.txt"]
    assert [(path, reason[:10]) for path, reason in copied.skipped] == [("home/b.txt", "Over quota")]


def test_nothing_is_copied_where_one_source_is_missing(workspace: Workspace, home: Path) -> None:
    lay(home, "a.txt")

    with pytest.raises(FileNotFoundError):
        copy_in(workspace, [home / "a.txt", home / "missing.txt"])

    assert paths(workspace) == []


@pytest.fixture
def command(alice: Person, tmp_path: Path, use_work_dir: Callable[[Path], Path]) -> Callable[..., str]:
    """Run `manage.py workspace` for Alice's organisation, on a work directory of the test's own."""
    use_work_dir(tmp_path / "data" / "workspaces")

    def run(*arguments: object, org: str = alice.org.slug) -> str:
        out = StringIO()
        call_command("workspace", *map(str, arguments), "--org", org, stdout=out)
        return out.getvalue()

    return run


def test_the_command_copies_and_shows(command: Callable[..., str], home: Path, tmp_path: Path) -> None:
    lay(home, "app/main.py", "app/.git/config", "notes.txt", content="12345")

    said = command(home / "app", home / "notes.txt")

    assert "Copied 2 files (10" in said
    assert "skipped app/.git: version control" in said
    assert f"{tmp_path}/data/workspaces/acme/shared: 2 files" in said
    assert command().splitlines()[1:] == ["  app/", "  notes.txt  5\xa0bytes"]


def test_the_command_leaves_out_the_servers_own_data(command: Callable[..., str], tmp_path: Path) -> None:
    lay(tmp_path / "data", "secret_key")

    said = command(tmp_path)

    assert "data: this server's own data" in said


def test_the_command_fills_a_project(command: Callable[..., str], alice: Person, home: Path) -> None:
    people.create_project("apollo", org=alice.org)
    lay(home, "a.txt")

    assert "workspaces/acme/apollo: 1 files" in command(home / "a.txt", "--project", "apollo")
    assert "workspaces/acme/shared: 0 files" in command()


def test_the_command_says_how_much_more_it_skipped(command: Callable[..., str], home: Path) -> None:
    for number in range(30):
        lay(home, f"{number:02}/__pycache__/x.pyc")

    assert "skipped 10 more: cache" in command(home)


@pytest.mark.parametrize("arguments", [("--project", "nowhere"), ("/no/such/file",)])
def test_the_command_refuses_what_is_not_there(command: Callable[..., str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"no project|No such file"):
        command(*arguments)


def test_the_command_makes_no_folder_for_an_unknown_organisation(command: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no organisation 'nobody'"):
        command(org="nobody")

    assert not (tmp_path / "data" / "workspaces").exists()
