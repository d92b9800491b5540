"""`manage.py ingest`: files and folders into memory, from a terminal or a script."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from memory.models import Document
from openintern.tenancy import people
from openintern.tenancy.models import Membership
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

from .making import pdf

Ingest = Callable[..., list[str]]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home") / "docs"
    for name, content in {
        "guide.md": "# Guide\n\nThe pangolin sleeps.",
        "deep/notes.txt": "部署之前先备份数据库。",
        "code.py": "print()",
        ".git/README.md": "no",
        ".env": "KEY=1",
        ".ssh/config.txt": "no",
        "node_modules/x/README.md": "no",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
    return home


@pytest.fixture
def ingest(bob: Person) -> Ingest:
    def run(*paths: Path | str, **options: str) -> list[str]:
        out = StringIO()
        try:
            call_command("ingest", *map(str, paths), "--org", bob.org.slug, "--user", options.pop("user", "bob"),
                         *(f"--{name}={value}" for name, value in options.items()), stdout=out)  # fmt: skip
        finally:
            run.said = out.getvalue().splitlines()  # type: ignore[attr-defined]
        return out.getvalue().splitlines()

    return run


def names(person: Person) -> list[str]:
    with org_scope(person.org):
        return sorted(Document.objects.filter(forgotten_at=None).values_list("name", flat=True))


def test_a_folder_is_taken_without_what_is_not_for_agents(bob: Person, ingest: Ingest, home: Path) -> None:
    said = ingest(home)

    assert names(bob) == ["docs/deep/notes.txt", "docs/guide.md"]
    assert sorted(said[:-1]) == [
        "read      docs/deep/notes.txt: 1 passages",
        "read      docs/guide.md: 1 passages",
        "skipped   docs/.env: private",
        "skipped   docs/.git: version control",
        "skipped   docs/.ssh: private",
        "skipped   docs/code.py: not a document",
        "skipped   docs/node_modules: installed packages",
    ]
    assert said[-1] == "5 skipped, 2 read; 2 passages"


def test_taking_it_again_takes_what_changed(bob: Person, ingest: Ingest, home: Path) -> None:
    ingest(home)
    (home / "guide.md").write_text("The aardvark digs.")

    said = ingest(home)

    assert [line for line in said if "skipped" not in line] == [
        "unchanged docs/deep/notes.txt",
        "replaced  docs/guide.md: 1 passages",
    ]


def test_a_file_that_is_named_is_taken_whatever_its_name(bob: Person, ingest: Ingest, home: Path) -> None:
    (home / "paper").write_bytes(pdf("The pangolin sleeps.", ""))

    said = ingest(home / "code.py", home / "paper")

    assert names(bob) == ["code.py", "paper"]
    assert said[1] == "read      paper: 2 pages, 1 passages, 1 pages without text"


def test_what_cannot_be_read_is_told_and_the_rest_is_read(bob: Person, ingest: Ingest, home: Path) -> None:
    (home / "broken.pdf").write_bytes(b"%PDF-1.7 no")

    with pytest.raises(CommandError, match="1 of 8 could not be read"):
        ingest(home)

    assert any(line.startswith("failed    docs/broken.pdf: It is damaged") for line in ingest.said)  # type: ignore[attr-defined]
    assert "docs/guide.md" in names(bob)


def test_a_project_gets_it_for_all(bob: Person, ingest: Ingest, home: Path) -> None:
    project = people.create_project("apollo", org=bob.org)
    Membership.objects.get(user=bob.user, organization=bob.org).projects.add(project)

    ingest(home / "guide.md", project="apollo")

    with org_scope(bob.org):
        assert Document.objects.get(name="guide.md").shelf.project == project


def test_the_servers_own_data_is_left_out(ingest: Ingest, base_dir: Path, home: Path) -> None:
    assert any(line.endswith("this server's own data") for line in ingest(base_dir))


def test_who_may_only_look_and_what_is_not_there_is_refused(victor: Person, ingest: Ingest, home: Path) -> None:
    with pytest.raises(CommandError, match="may only look"):
        ingest(home, user="victor")
    with pytest.raises(CommandError, match="No such file"):
        ingest(home / "nowhere")
    with pytest.raises(CommandError, match="Project not found"):
        ingest(home, project="nowhere")
