"""Sending documents, finding what they say, replacing and forgetting them: by the API, as programs do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from memory import search
from memory.documents import accepting, shelving
from memory.documents.accepting import document_name
from memory.models import Memory, Trust
from openintern.tenancy.models import Membership, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

from .making import pdf

ReadAll = Callable[[Person], int]


def send(person: Person, content: bytes, *, name: str = "guide.md", project: str = "", **fields: str) -> Any:
    headers = {"x-project-id": project} if project else {}
    form = {"file": SimpleUploadedFile(name, content), **fields}
    return person.with_key().post("/api/documents", form, headers=headers)


def paste(person: Person, **body: Any) -> Any:
    return person.with_key().post("/api/documents", body, content_type="application/json")


def get(person: Person, document_id: str) -> Any:
    return person.with_key().get(f"/api/documents/{document_id}").json()


def found(person: Person, query: str) -> list[dict[str, Any]]:
    answer = person.with_key().post("/api/memories/search", {"query": query}, content_type="application/json")
    return [hit for hit in answer.json()["hits"] if hit["score"] > 0]


def id_of(answer: Any) -> str:
    return str(answer.json()["document"]["document_id"])


@pytest.fixture
def apollo(bob: Person, alice: Person) -> Project:
    """A project that Bob is in; Victor isn't."""
    project = Project.objects.create(organization=bob.org, slug="apollo", name="Apollo")
    Membership.objects.get(user=bob.user, organization=bob.org).projects.add(project)
    return project


def test_what_is_sent_is_found_with_its_page_and_section(bob: Person, read_all: ReadAll) -> None:
    content = pdf("Intro\nNothing here.", "Rollback\nRestore the zebrafish backup.", title="The guide", outline=True)

    answer = send(bob, content, name="部署 guide.pdf")

    assert answer.status_code == 202
    queued = answer.json()["document"]
    assert (queued["state"], queued["progress"], queued["is_remembered"]) == ("queued", 0.0, False)
    assert answer["Location"] == f"/api/documents/{queued['document_id']}"
    assert read_all(bob) == 1
    done = get(bob, queued["document_id"])
    assert {name: done[name] for name in ("name", "title", "state", "progress", "format", "pages", "error")} == {
        "name": "部署 guide.pdf",
        "title": "The guide",
        "state": "done",
        "progress": 1.0,
        "format": "pdf",
        "pages": 2,
        "error": None,
    }
    hit = found(bob, "zebrafish")[0]
    assert (hit["memory_id"], hit["document"], hit["trust"]) == (done["memory_id"], "部署 guide.pdf", Trust.OUTSIDE)
    assert (hit["quotes"][0]["page"], hit["quotes"][0]["heading"]) == (2, "Rollback")
    assert hit["metadata"]["document_id"] == queued["document_id"]


def test_a_text_is_pasted_and_found_in_chinese(bob: Person, read_all: ReadAll) -> None:
    answer = paste(bob, name="发布说明", text="# 发布\n\n部署之前先备份数据库，回滚脚本在附录。", format="markdown")
    read_all(bob)

    assert answer.status_code == 202
    assert found(bob, "部署回滚")[0]["document"] == "发布说明"
    assert get(bob, id_of(answer))["format"] == "markdown"


def test_the_same_name_replaces_and_the_same_content_is_skipped(bob: Person, read_all: ReadAll) -> None:
    first = send(bob, b"The pangolin sleeps.")
    read_all(bob)
    before = get(bob, id_of(first))

    same = send(bob, b"The pangolin sleeps.")
    newer = send(bob, b"The aardvark digs.")

    assert (same.status_code, same.json()["outcome"], id_of(same)) == (200, "unchanged", id_of(first))
    assert (newer.status_code, newer.json()["outcome"], id_of(newer)) == (202, "replaced", id_of(first))
    assert found(bob, "pangolin"), "the old version serves while the new one is read"
    assert read_all(bob) == 1
    after = get(bob, id_of(first))
    assert (after["version"], after["memory_id"]) == (2, before["memory_id"])
    assert found(bob, "pangolin") == []
    assert len(found(bob, "aardvark")) == 1


def test_a_version_that_cannot_be_read_leaves_the_one_before(bob: Person, read_all: ReadAll) -> None:
    first = send(bob, pdf("The pangolin sleeps."), name="a.pdf")
    read_all(bob)
    send(bob, b"%PDF-1.7 broken", name="a.pdf")
    read_all(bob)

    document = get(bob, id_of(first))
    assert (document["state"], document["error"]["code"], document["is_remembered"]) == ("failed", "BROKEN", True)
    assert "damaged" in document["error"]["message"]
    assert found(bob, "pangolin")


def test_what_failed_can_be_tried_again_and_nothing_else(bob: Person, read_all: ReadAll, base_dir: Path) -> None:
    answer = send(bob, b"The pangolin sleeps.")
    retry = f"/api/documents/{id_of(answer)}/retry"
    file = next(path for path in base_dir.rglob("doc_*") if path.is_file())
    kept = file.read_bytes()
    file.unlink()
    read_all(bob)

    assert get(bob, id_of(answer))["error"]["code"] == "LOST"
    file.write_bytes(kept)
    assert bob.with_key().post(retry).status_code == 202
    read_all(bob)
    assert get(bob, id_of(answer))["state"] == "done"
    assert bob.with_key().post(retry).status_code == 409


def test_forgetting_takes_all_that_came_from_it_and_restoring_brings_it_back(bob: Person, read_all: ReadAll) -> None:
    document = f"/api/documents/{id_of(send(bob, b'The pangolin sleeps.'))}"
    read_all(bob)

    assert bob.with_key().delete(document).status_code == 204
    assert bob.with_key().delete(document).status_code == 204
    assert found(bob, "pangolin") == []
    listed = bob.with_key().get("/api/documents").json()["documents"]
    assert listed == []
    assert len(bob.with_key().get("/api/documents?forgotten=true").json()["documents"]) == 1
    assert bob.with_key().post(f"{document}/restore").json()["forgotten_at"] is None
    assert found(bob, "pangolin")


def test_a_name_taken_meanwhile_is_not_taken_back(bob: Person, read_all: ReadAll) -> None:
    old = id_of(send(bob, b"The pangolin sleeps."))
    bob.with_key().delete(f"/api/documents/{old}")
    send(bob, b"The aardvark digs.")
    read_all(bob)

    assert bob.with_key().post(f"/api/documents/{old}/restore").status_code == 409


def test_a_document_forgotten_before_it_was_read_is_read_when_it_comes_back(bob: Person, read_all: ReadAll) -> None:
    document = f"/api/documents/{id_of(send(bob, b'The pangolin sleeps.'))}"
    bob.with_key().delete(document)

    assert read_all(bob) == 0
    bob.with_key().post(f"{document}/restore")
    assert read_all(bob) == 1
    assert found(bob, "pangolin")


def test_after_thirty_days_nothing_is_left(
    bob: Person, read_all: ReadAll, base_dir: Path, django_capture_on_commit_callbacks: Any
) -> None:
    document = id_of(send(bob, b"The pangolin sleeps."))
    read_all(bob)
    bob.with_key().delete(f"/api/documents/{document}")

    with org_scope(bob.org), django_capture_on_commit_callbacks(execute=True):
        assert shelving.purge(at=timezone.now() + timedelta(days=29)) == 0
        assert shelving.purge(at=timezone.now() + timedelta(days=31)) == 1

    assert [path for path in base_dir.rglob("*") if path.is_file()] == []
    assert bob.with_key().get(f"/api/documents/{document}").status_code == 404


def test_a_projects_document_is_everybodys_in_it(
    alice: Person, bob: Person, victor: Person, charlie: Person, apollo: Project, read_all: ReadAll
) -> None:
    document = id_of(send(alice, b"The pangolin sleeps.", project="apollo", owner="project"))
    own = id_of(send(bob, b"The aardvark digs.", name="own.md"))
    read_all(alice)

    assert get(bob, document)["project_id"] == "apollo"
    assert found(bob, "pangolin")
    assert bob.with_key().delete(f"/api/documents/{document}").status_code == 403
    for person, hidden in ((victor, document), (victor, own), (alice, own), (charlie, document), (charlie, own)):
        client = person.with_key()
        for answer in (client.get(f"/api/documents/{hidden}"), client.get(f"/api/documents/{hidden}/content")):
            assert answer.status_code == 404
        assert hidden not in str(client.get("/api/documents").content)
    assert charlie.with_key().delete(f"/api/documents/{document}").status_code == 404
    assert send(victor, b"x").status_code == 403
    assert Client().post("/api/documents").status_code == 401
    assert found(charlie, "pangolin") == []


def test_it_is_given_back_as_a_download(bob: Person) -> None:
    content = b"<html><script>alert(1)</script>hello"
    document = id_of(send(bob, content, name="a b.html"))

    answer = bob.signed_in().get(f"/api/documents/{document}/content")

    assert (answer.content, answer["Content-Type"]) == (content, "text/plain")
    assert answer["Content-Disposition"] == 'attachment; filename="a b.html"'
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "etc/passwd"),
        ("C:\\Users\\me\\plan.md", "C:/Users/me/plan.md"),
        ("docs//./guide.md", "docs/guide.md"),
        ("invoice\u202efdp.exe\n", "invoicefdp.exe"),
        ("第一季度 报告.md", "第一季度 报告.md"),
    ],
)
def test_a_name_keeps_its_folders_and_leads_nowhere(name: str, kept: str) -> None:
    assert document_name(name) == kept


def test_two_long_names_stay_two(bob: Person) -> None:
    names = {document_name(f"{first}{'x' * 900}.md") for first in "ab"}

    assert len(names) == 2
    assert all(len(name) <= 280 and name.endswith("x.md") for name in names)


def test_the_file_is_kept_under_a_name_of_ours(bob: Person, base_dir: Path) -> None:
    document = id_of(send(bob, b"x", name=quote("../../../evil.md", safe="")))

    assert [str(path.relative_to(base_dir)) for path in base_dir.rglob("*") if path.is_file()] == [
        f"documents/{bob.org.schema_name}/{document}.1"
    ]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "VALIDATION_ERROR"),
        (b" \n", 400, "VALIDATION_ERROR"),
        (b"\x89PNG\r\n\x1a\n\0\0", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"MZ\0\0", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
def test_what_is_no_document_is_refused_at_the_door(bob: Person, content: bytes, status: int, code: str) -> None:
    answer = send(bob, content)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_what_is_sent_wrongly_is_refused(bob: Person) -> None:
    client = bob.with_key()

    for body in ({"text": "x"}, {"name": "x"}, {"name": "a", "text": "x", "format": "exe"}, {"name": "a\0", "text": "x"},
                 {"name": "..", "text": "x"}, {"name": "a", "text": "x\0"}, {"name": 7, "text": "x"},
                 {"name": "a", "text": "x", "owner": "project"}, {"name": "a", "text": "x", "owner": "org"}):  # fmt: skip
        assert paste(bob, **body).status_code == 400, body
    assert client.post("/api/documents", {"other": "x"}).status_code == 400
    assert send(bob, b"x", name="a", owner="\0").status_code == 400
    assert client.post("/api/documents", b"--x\r\nh", content_type="multipart/form-data; boundary=x").status_code == 400
    assert client.get("/api/documents?state=lost").status_code == 400
    assert client.get("/api/documents?sate=done").status_code == 400


def test_sizes_and_numbers_are_bounded(bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "MAX_BYTES", 100)
    assert send(bob, b"x" * 101).status_code == 413
    assert send(bob, b"x" * 100_000).status_code == 413
    assert send(bob, b"x" * 100).status_code == 202
    monkeypatch.setattr(accepting, "QUOTA_BYTES", 120)
    assert send(bob, b"y" * 50, name="b").status_code == 413
    monkeypatch.setattr(accepting, "QUOTA_DOCUMENTS", 1)
    assert send(bob, b"y", name="c").status_code == 413


def test_secrets_are_left_out_and_pages_stay(bob: Person, read_all: ReadAll) -> None:
    secret = "sk-" + "a1b2c3d4" * 5
    document = id_of(send(bob, pdf("First page.", f"The key is {secret} for zebrafish."), name="keys.pdf"))
    read_all(bob)

    hit = found(bob, "zebrafish")[0]

    assert secret not in str(hit)
    assert hit["quotes"][0]["page"] == 2
    with org_scope(bob.org):
        memory = Memory.objects.get(pk=get(bob, document)["memory_id"])
        assert memory.contains_secrets


def test_the_list_is_paged_and_filtered(bob: Person, read_all: ReadAll) -> None:
    for number in range(3):
        send(bob, f"text {number}".encode(), name=f"{number}.txt")
    read_all(bob)
    send(bob, b"later", name="later.txt")
    client = bob.with_key()

    page = client.get("/api/documents?limit=3").json()
    rest = client.get(f"/api/documents?limit=3&cursor={page['next_cursor']}").json()

    assert len({row["name"] for row in [*page["documents"], *rest["documents"]]}) == 4
    assert [row["name"] for row in client.get("/api/documents?state=queued").json()["documents"]] == ["later.txt"]


def test_a_memory_that_was_forgotten_by_itself_comes_back_when_the_document_is_sent_again(
    bob: Person, read_all: ReadAll
) -> None:
    answer = send(bob, b"The pangolin sleeps.")
    read_all(bob)
    bob.with_key().delete(f"/api/memories/{get(bob, id_of(answer))['memory_id']}")

    assert get(bob, id_of(answer))["is_remembered"] is False
    assert send(bob, b"The pangolin sleeps.").json()["outcome"] == "replaced"
    read_all(bob)
    assert found(bob, "pangolin")


def test_search_knows_documents_by_their_name(bob: Person, read_all: ReadAll) -> None:
    paste(bob, text="The pangolin sleeps.", name="zoo/a.md")
    paste(bob, text="The pangolin eats.", name="zoo/b.md")
    read_all(bob)

    with org_scope(bob.org):
        hits = search.search(bob.scope, "pangolin", filters=search.Filters(document="zoo/b.md")).hits

    assert [hit.document for hit in hits] == ["zoo/b.md"]
