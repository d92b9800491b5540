"""The page of documents, without JavaScript: sending, watching, forgetting, by whoever may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from memory.documents import accepting, working
from memory.models import Document
from openintern.tenancy import people
from openintern.tenancy.models import Membership
from openintern.tenancy.scope import org_scope
from tests.conftest import Person


@pytest.fixture(autouse=True)
def base_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = replace(settings.CONFIG.server, base_dir=tmp_path)
    monkeypatch.setattr(settings, "CONFIG", replace(settings.CONFIG, server=server))


def page(person: Person, query: str = "", **headers: str) -> str:
    return str(person.signed_in().get(f"/memory/documents{query}", headers=headers).content.decode())


def post(person: Person, path: str = "", **fields: Any) -> Any:
    return person.signed_in().post(f"/memory/documents{path}", fields)


def only(person: Person) -> Document:
    with org_scope(person.org):
        return Document.objects.select_related("shelf__project").get()


def test_files_and_a_text_are_sent_as_one_form(bob: Person) -> None:
    files = [SimpleUploadedFile("a.md", b"The pangolin sleeps."), SimpleUploadedFile("b.txt", b"text")]

    client = bob.signed_in()

    answer = client.post(
        "/memory/documents", {"file": files, "name": "发布说明", "text": "部署之前\r\n先备份。"}, follow=True
    )

    shown = answer.content.decode()
    assert all(f">{name}</b>" in shown for name in ("a.md", "b.txt", "发布说明"))
    assert "3 documents are being read." in shown
    assert "data-unfinished" in shown
    working.read_all([bob.org])
    shown = page(bob)
    assert "data-unfinished" not in shown
    assert 'href="/memory?document=a.md"' in shown


def test_what_cannot_be_taken_is_told_and_what_was_written_stays(bob: Person) -> None:
    answer = post(bob, file=SimpleUploadedFile("a.exe", b"MZ\0\0"), text="a long text", name="")

    shown = answer.content.decode()
    assert "a.exe: Not a document that can be read" in shown
    assert "A document needs a name" in shown
    assert "a long text</textarea>" in shown
    assert "Choose a file, or paste a text." in post(bob, name="empty").content.decode()


def test_it_is_forgotten_and_brought_back_by_a_button(bob: Person) -> None:
    post(bob, name="a", text="The pangolin sleeps.")
    document = only(bob)

    assert post(bob, f"/{document.pk}/forget").status_code == 302
    assert document.pk not in page(bob)
    assert "Bring back" in page(bob, "?forgotten=1")
    assert post(bob, f"/{document.pk}/restore").status_code == 302
    assert document.pk in page(bob)


def test_what_failed_says_why_and_can_be_tried_again(bob: Person) -> None:
    post(bob, file=SimpleUploadedFile("a.pdf", b"%PDF-1.7 no"))
    working.read_all([bob.org])

    shown = page(bob, "?state=failed")

    assert "It is damaged" in shown
    post(bob, f"/{only(bob).pk}/retry")
    assert only(bob).state == Document.State.QUEUED


def test_for_htmx_the_page_is_the_list_alone(bob: Person) -> None:
    fragment = page(bob, "", **{"HX-Request": "true"})

    assert fragment.lstrip().startswith('<div id="documents"')
    assert "No documents yet" in fragment


def test_a_name_is_shown_as_text(bob: Person) -> None:
    name = "<img src=x onerror=alert(1)>'\"{{7*7}}.md"
    with org_scope(bob.org):
        accepting.accept(bob.scope, content=b"x", name=name)

    shown = page(bob)

    assert "<img src=x" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;" in shown


def test_a_project_is_chosen_among_ones_own(bob: Person, alice: Person) -> None:
    ours, _ = (people.create_project(slug, org=bob.org) for slug in ("ours", "theirs"))
    Membership.objects.get(user=bob.user, organization=bob.org).projects.add(ours)

    assert post(bob, name="a", text="x", project="theirs").status_code == 404
    assert post(bob, name="a", text="x", project="ours").status_code == 302
    assert only(bob).shelf.project == ours
    assert "project ours" in page(alice)


def test_who_may_only_look_has_nothing_to_send_with(victor: Person, bob: Person, charlie: Person) -> None:
    post(bob, name="a", text="x")

    assert "send-documents" not in page(victor)
    assert post(victor, name="a", text="x").status_code == 403
    for act in ("forget", "restore", "retry"):
        assert post(charlie, f"/{only(bob).pk}/{act}").status_code == 404
    assert "No documents yet" in page(charlie)


def test_it_speaks_chinese(bob: Person) -> None:
    post(bob, name="a", text="x")

    shown = page(bob, "", **{"Accept-Language": "zh-hans"})

    assert "把文档拖到这里" in shown
    assert "排队中" in shown


def test_memory_leads_to_it(bob: Person) -> None:
    assert 'href="/memory/documents"' in bob.signed_in().get("/memory").content.decode()
