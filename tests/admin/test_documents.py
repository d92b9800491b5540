"""Documents in the organisation's admin: how far each is, and what can be done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memory.documents.accepting import accept
from memory.models import Document
from openintern.tenancy.models import AuditEntry, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

DOCUMENTS = "/admin/memory/document/"


@pytest.fixture
def sent(alice: Person, bob: Person) -> Document:
    """A project's document that failed, and one of Bob's own."""
    project = Project.objects.create(organization=alice.org, slug="ours", name="ours")
    with org_scope(alice.org):
        accept(bob.scope, content=b"Bob's secret garden.", name="garden.md")
        document = accept(
            replace(alice.scope, project=project), content=b"We deploy on Fridays.", name="habits.md", owner="project"
        ).document
        Document.objects.filter(pk=document.pk).update(state="failed", problem="too_slow", finished_at=document.sent_at)
    return document


def now(person: Person, document: Document) -> Document:
    with org_scope(person.org):
        return Document.objects.get(pk=document.pk)


def test_an_admin_sees_why_one_failed_and_nobodys_own(alice: Person, sent: Document) -> None:
    page = alice.signed_in().get(DOCUMENTS).content.decode()

    assert "habits.md" in page
    assert "Reading it takes too long." in page
    assert "garden.md" not in page
    assert "habits.md" in alice.signed_in().get(f"{DOCUMENTS}{sent.pk}/change/").content.decode()


def test_one_that_failed_is_read_again(alice: Person, sent: Document) -> None:
    alice.signed_in().post(DOCUMENTS, {"action": "try_again", "_selected_action": [sent.pk]})

    assert now(alice, sent).state == Document.State.QUEUED


def test_forgetting_asks_first_and_is_undone_the_same_way(alice: Person, sent: Document) -> None:
    client, form = alice.signed_in(), {"action": "forget", "_selected_action": [sent.pk]}

    assert "Forget these documents?" in client.post(DOCUMENTS, form).content.decode()
    assert now(alice, sent).forgotten_at is None
    client.post(DOCUMENTS, {**form, "confirmed": "yes"})
    assert now(alice, sent).forgotten_at is not None
    client.post(DOCUMENTS, {**form, "action": "restore", "confirmed": "yes"})

    assert now(alice, sent).forgotten_at is None
    actions = AuditEntry.objects.filter(object_id=sent.pk).values_list("action", flat=True)
    assert {"document.forget", "document.restore"} <= set(actions)


def test_an_action_on_anothers_document_does_nothing(
    alice: Person, bob: Person, charlie: Person, sent: Document
) -> None:
    with org_scope(alice.org):
        theirs = Document.objects.get(name="garden.md")

    for person, document in ((alice, theirs), (charlie, sent), (bob, sent)):
        form = {"action": "forget", "_selected_action": [document.pk], "confirmed": "yes"}
        person.signed_in().post(DOCUMENTS, form)
        assert now(alice, document).forgotten_at is None
